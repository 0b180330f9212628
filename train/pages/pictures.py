"""Images within a page: data URIs of crops, of part images on the unfolded body, and of figures."""

from __future__ import annotations

import base64
import functools
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dsa_data import images
from dsa_data.stores.dsap import DsapStore
from dsap.layout import BACK, FRONT, INK, PAPER, Turns, body, short_name

HEIGHT, WIDTH = 128, 64  # greatest size of a crop on the page
QUALITY = 80  # of its JPEG
TEXELS = 16  # greatest side of a part image on the page
WIDE, HIGH, SPACE = 184, 124, 8  # a chart of the body of shares and the gap to the next, pixels
HEAD, TEXT = 44, 26  # height of its title's line, and size of its text
TITLES = {"front": "front: the person's right is on the left", "back": "back: the person's left is on the left"}
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


def coverage_figures(coverage: np.ndarray) -> list[np.ndarray]:
    """Return a body's front and back, each uint8 (H, W, 3): a chart is as dark as it is often visible.

    Names and percentages are written in the charts, large enough to be read where a figure is half as wide.

    Args:
        coverage: shares (24,).
    """
    figures = []
    for title, cells in (("front", FRONT), ("back", BACK)):
        top = min(cell.y for cell in cells.values())
        bottom = max(cell.y + cell.span for cell in cells.values())
        figure = Image.new("RGB", (4 * (WIDE + SPACE) - SPACE, HEAD + (bottom - top) * (HIGH + SPACE)), PAPER)
        draw = ImageDraw.Draw(figure)
        draw.text((0, 0), TITLES[title], INK, _font(TEXT))
        for chart, cell in sorted(cells.items()):
            x, y = cell.x * (WIDE + SPACE), HEAD + (cell.y - top) * (HIGH + SPACE)
            right, under = (start + cell.span * (side + SPACE) - SPACE for start, side in ((x, WIDE), (y, HIGH)))
            share = float(coverage[chart - 1])
            draw.rectangle((x, y, right - 1, under - 1), tuple(_shade(share).astype(int).tolist()))
            lines = [*_wrapped(f"{chart} {short_name(chart)}", right - x - 8), f"{100 * share:.0f}%"]
            middle = (x + right) / 2, (y + under) / 2
            draw.multiline_text(middle, "\n".join(lines), INK, _font(TEXT), "mm", spacing=6, align="center")
        figures.append(np.asarray(figure))
    return figures


def _wrapped(text: str, width: int) -> list[str]:
    """Return the text in lines that are not wider than `width` pixels, as far as its words allow."""
    lines: list[str] = []
    for word in text.split():
        if lines and _font(TEXT).getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _shade(share: float) -> np.ndarray:
    return np.asarray(np.rint(PALE + (DARK - PALE) * share))


def hex_shade(share: float) -> str:
    """Return the colour of a share as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*(int(one) for one in _shade(share)))
