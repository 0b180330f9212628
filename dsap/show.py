"""Figures: an image with its map and its part images; the mean of an identity; fine and coarse parts."""

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
from .config import WarpConfig
from .layout import Turns, body, framed, side_by_side, stacked, titled
from .plan import check_content
from .warp import warp

HEIGHT = 448  # of an image on the page
STRIP = 12  # images of an identity that are shown with their mean


class Page:
    """Makes figures of one dataset.

    Args:
        root: the dataset's folder.
        iuv: its maps.
        store: its part images.
    """

    def __init__(self, root: Path, iuv: IuvStore, store: DsapStore) -> None:
        self.root = root
        self.iuv = iuv
        self.store = store
        self.fine: Turns = "synthetic" if iuv.header.configuration.get("engine") == "rendered" else "densepose"
        self.coarse = store.header.configuration["warp"]["parts"] == "coarse"

    def image(self, key: str, compare: bool = False) -> np.ndarray:
        """Return a figure of one image, its map, and its part images; with `compare`, fine and coarse ones.

        Returns:
            uint8 (H, W, 3), RGB.

        Raises:
            DatasetError: if the image is not in the store.
            ConfigError: with `compare`, for maps of I alone, which have no fine part images.
        """
        if key not in self.store:
            raise DatasetError(f"{self.store.path} has no image {key}. Use a key of the manifest.")
        image, iuv, _ = self._read(key)
        left = stacked([titled("image", _scaled(image)), titled("I, U, V", _scaled(paint_iuv(iuv)))])
        return framed(titled(key, side_by_side([left, self._bodies([key], compare)])))

    def mean(self, pid: int, records: Sequence[Record], compare: bool = False) -> np.ndarray:
        """Return a figure of the mean part images of an identity, which show how well they are aligned.

        Returns:
            uint8 (H, W, 3), RGB.

        Raises:
            DatasetError: if no image of the store shows the identity.
        """
        keys = [record.key for record in records if record.pid == pid and record.key in self.store]
        if not keys:
            raise DatasetError(f"{self.store.path} has no image of identity {pid}. Use a pid of the manifest.")
        cells = [_scaled(self._read(key)[0], HEIGHT // 2) for key in keys[:STRIP]]
        rows = [side_by_side(cells[start : start + 3], 4) for start in range(0, len(cells), 3)]
        page = side_by_side([titled("images", stacked(rows, 4)), self._bodies(keys, compare)])
        return framed(titled(f"identity {pid}: {len(keys)} images", page))

    def _bodies(self, keys: Sequence[str], compare: bool) -> np.ndarray:
        """Return the mean part images of some images, as stored, or with `compare` fine above coarse."""
        title = "mean of the part images" if len(keys) > 1 else "part images"
        if not compare:
            stored = [self.store.read(self.store.index(key)) for key in keys]
            return self._body(title, stored, self.coarse)
        check_content(self.iuv, WarpConfig())
        read = [self._read(key) for key in keys]
        fine = [warp(image, iuv, self.store.size, fine=in_16_bits) for image, iuv, in_16_bits in read]
        coarse = [crop(image, iuv, self.store.size) for image, iuv, _ in read]
        return stacked([self._body(title, fine, False), self._body(title, coarse, True)])

    def _body(self, title: str, parts: Sequence[tuple[np.ndarray, np.ndarray]], coarse: bool) -> np.ndarray:
        kind = "coarse (CSA)" if coarse else "fine (DSAP)"
        page = body(*average(parts), turns="none" if coarse else self.fine)
        return titled(f"{title}, {kind}, {self.store.size}x{self.store.size}", page)

    def _read(self, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return an image, its map, and U and V in 16 bits where the store has them."""
        iuv_map = self.iuv.read(self.iuv.index(key))
        return images.read(self.root / key), iuv_map.iuv, iuv_map.fine


def fullest(store: DsapStore) -> str:
    """Return the key of the image with the most visible charts, of several that with the most valid texels."""
    charts, texels = (store.counts > 0).sum(axis=1), store.counts.sum(axis=1)
    key: str = store.keys[int(np.lexsort([texels, charts])[-1])]
    return key


def average(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of part images, for each texel over the images in which it is valid.

    Args:
        parts: for each image texels uint8 (24, S, S, 3) and valid bool (24, S, S).

    Returns:
        texels uint8 (24, S, S, 3), 0 where no image is valid; valid bool (24, S, S), where one is.
    """
    total = sum(texels.astype(np.int64) for texels, _ in parts)  # invalid texels are 0
    count = sum(valid.astype(np.int64) for _, valid in parts)[..., None]  # type: ignore[index]
    texels = (2 * total + count) // np.maximum(2 * count, 1)
    return texels.astype(np.uint8), count[..., 0] > 0


def _scaled(image: np.ndarray, height: int = HEIGHT) -> np.ndarray:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    grows = height > image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST if grows else cv2.INTER_AREA)
