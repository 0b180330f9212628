"""Pages for people to look at: a picture, its map and its part pictures; an identity's mean; fine against coarse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from dsa_app.errors import DatasetError
from dsa_data import images
from dsa_data.palette import paint_iuv
from dsa_data.records import Record
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore

from .coarse import crop
from .layout import Turns, below, beside, body, framed, titled
from .warp import warp

HEIGHT = 448  # of a picture on the page
STRIP = 12  # pictures of an identity that are shown beside their mean


class Page:
    """Draws pages of one dataset.

    Args:
        root: the dataset's folder.
        iuv, store: its maps and its part pictures.
    """

    def __init__(self, root: Path, iuv: IuvStore, store: DsapStore) -> None:
        self.root = root
        self.iuv = iuv
        self.store = store
        self.fine: Turns = "synthetic" if iuv.header.configuration.get("engine") == "rendered" else "densepose"
        self.coarse = store.header.configuration["warp"]["parts"] == "coarse"

    def picture(self, key: str, compare: bool = False) -> np.ndarray:
        """Draw one picture, its map, and its part pictures; with `compare` fine and coarse ones.

        Returns:
            uint8 (H, W, 3), RGB.

        Raises:
            DatasetError: if the store does not hold the picture.
        """
        if key not in self.store:
            raise DatasetError(f"{self.store.path} holds no picture {key}. Name one as the manifest does.")
        image, iuv = self._read(key)
        seen = below([titled("picture", _scaled(image)), titled("I, U, V", _scaled(paint_iuv(iuv)))])
        return framed(titled(key, beside([seen, self._bodies([key], compare)])))

    def mean(self, pid: int, records: Sequence[Record], compare: bool = False) -> np.ndarray:
        """Draw the mean of all part pictures of an identity, where alignment can be seen.

        Returns:
            uint8 (H, W, 3), RGB.

        Raises:
            DatasetError: if no picture of the store shows the identity.
        """
        keys = [record.key for record in records if record.pid == pid and record.key in self.store]
        if not keys:
            raise DatasetError(f"{self.store.path} holds no picture of identity {pid}. Name another.")
        cells = [_scaled(self._read(key)[0], HEIGHT // 2) for key in keys[:STRIP]]
        rows = [beside(cells[start : start + 3], 4) for start in range(0, len(cells), 3)]
        page = beside([titled("pictures", below(rows, 4)), self._bodies(keys, compare)])
        return framed(titled(f"identity {pid}: {len(keys)} pictures", page))

    def _bodies(self, keys: Sequence[str], compare: bool) -> np.ndarray:
        """Draw the mean part pictures of some pictures, as stored, or fine above coarse."""
        what = "mean of the part pictures" if len(keys) > 1 else "part pictures"
        if not compare:
            stored = [self.store.read(self.store.index(key)) for key in keys]
            return self._body(what, stored, self.coarse)
        pairs = [self._read(key) for key in keys]
        fine = [warp(image, iuv, self.store.size) for image, iuv in pairs]
        coarse = [crop(image, iuv, self.store.size) for image, iuv in pairs]
        return below([self._body(what, fine, False), self._body(what, coarse, True)])

    def _body(self, what: str, parts: Sequence[tuple[np.ndarray, np.ndarray]], coarse: bool) -> np.ndarray:
        kind = "coarse (CSA)" if coarse else "fine (DSAP)"
        page = body(*average(parts), turns="none" if coarse else self.fine)
        return titled(f"{what}, {kind}, {self.store.size}x{self.store.size}", page)

    def _read(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        return images.read(self.root / key), self.iuv.read(self.iuv.index(key)).iuv


def fullest(store: DsapStore) -> str:
    """Return the key of the picture that shows the most charts, and of those the one with the most valid texels."""
    charts, texels = (store.counts > 0).sum(axis=1), store.counts.sum(axis=1)
    return store.keys[int(np.lexsort([texels, charts])[-1])]


def average(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of part pictures, each texel over the pictures where it is valid.

    Args:
        parts: of each picture texels uint8 (24, S, S, 3) and valid bool (24, S, S).

    Returns:
        texels uint8 (24, S, S, 3), 0 where never valid; valid bool (24, S, S), where ever valid.
    """
    total = sum(texels.astype(np.int64) for texels, _ in parts)  # invalid texels are 0
    count = sum(valid.astype(np.int64) for _, valid in parts)[..., None]  # type: ignore[index]
    texels = (2 * total + count) // np.maximum(2 * count, 1)
    return texels.astype(np.uint8), count[..., 0] > 0


def _scaled(picture: np.ndarray, height: int = HEIGHT) -> np.ndarray:
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    grows = height > picture.shape[0]
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST if grows else cv2.INTER_AREA)
