"""Images within a page: data URIs of crops, of part images on the unfolded body, and of figures."""

from __future__ import annotations

import base64
import functools
from pathlib import Path

import cv2
import numpy as np

from dsa_data import images
from dsa_data.charts import CHARTS
from dsa_data.stores.dsap import DsapStore
from dsap.layout import Turns, body, write

HEIGHT, WIDTH = 128, 64  # greatest size of a crop on the page
QUALITY = 80  # of its JPEG
TEXELS = 16  # greatest side of a part image on the page
CELL = 96  # side of a chart of the painted body, pixels
PALE, DARK = np.array([240, 245, 251]), np.array([107, 174, 234])  # shades of a share, both under dark text
KINDS = {"png": "image/png", "jpeg": "image/jpeg", "svg": "image/svg+xml"}


def data_uri(data: bytes, kind: str) -> str:
    """Return an image file's bytes as a data URI; `kind` is a key of `KINDS`."""
    return f"data:{KINDS[kind]};base64,{base64.b64encode(data).decode()}"


class Crops:
    """Crops of a dataset as data URIs, each read once. Images in a store are compared with their listed digest no more.

    Args:
        root: the dataset's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.uri = functools.cache(self._uri)

    def _uri(self, key: str) -> str:
        """Return a crop, scaled down to fit 64 × 128. Raises ImageError."""
        return data_uri(images.encode_jpeg(fitted(images.read(self._root / key)), QUALITY), "jpeg")


def fitted(image: np.ndarray, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return an image uint8 (H, W, 3) scaled down to fit a size; a smaller one as it is."""
    scale = min(height / image.shape[0], width / image.shape[1])
    if scale >= 1:
        return image
    size = tuple(max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


class Bodies:
    """Part images as unfolded bodies, front and back, each a data URI.

    Args:
        store: of the part images.
        turns: how they are rotated.
    """

    def __init__(self, store: DsapStore, turns: Turns) -> None:
        self._store, self._turns = store, turns
        self.uri = functools.cache(self._uri)

    def _uri(self, key: str) -> str:
        texels, valid = self._store.read(self._store.index(key))
        return data_uri(images.encode_png(body(texels, valid, self._turns, TEXELS, names=False), 9), "png")

    def seen(self, key: str) -> int:
        """Return how many of the 24 charts an image shows."""
        return int((self._store.counts[self._store.index(key)] > 0).sum())


def coverage_body(coverage: np.ndarray) -> np.ndarray:
    """Return a body whose parts are as dark as they are often visible, with the percentage: uint8 (H, W, 3).

    Args:
        coverage: shares (24,).
    """
    texels = np.empty((CHARTS, CELL, CELL, 3), np.uint8)
    for part, share in zip(texels, coverage.tolist(), strict=True):
        part[:] = _shade(share)
        write(part, CELL // 2 - 14, CELL // 2 - 9, f"{100 * share:.0f}%", size=13)
    # not rotated, so that the text is upright
    return body(texels, np.ones((CHARTS, CELL, CELL), bool), "none", cell=CELL)


def _shade(share: float) -> np.ndarray:
    return np.asarray(np.rint(PALE + (DARK - PALE) * share))


def hex_shade(share: float) -> str:
    """Return the colour of a share as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*(int(one) for one in _shade(share)))
