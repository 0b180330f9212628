"""Reading and writing images: 8-bit RGB arrays, or an error that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import ImageError
from dsa_reid.atomic import atomic
from dsa_reid.decoding import decode as decoder
from dsa_reid.decoding.limits import DecodeError, LimitError

try:
    import cv2
except ImportError as error:  # slim images lack libGL, which opencv-python links
    raise SystemExit(
        f"error: OpenCV does not load ({error}).\n"
        "On Debian and Ubuntu: apt-get install -y libgl1 libglib2.0-0. "
        "Without root: pip install opencv-python-headless in place of opencv-python."
    ) from None

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff"}


LISTED = "write the manifest again: dsa-data prepare."  # the remedy for an image of a manifest that is missing
REMOVE = f"remove it and {LISTED}"  # and for one that is damaged


def is_image(path: Path) -> bool:
    """Return whether a file, by its name, is an image of a type that can be read; hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_bytes(path: Path, remedy: str = LISTED) -> bytes:
    """Return the bytes of an image file. Raises ImageError if it is missing or cannot be read.

    Args:
        remedy: what else helps than to restore the image.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path} is missing. Restore it, or {remedy}") from None
    except IsADirectoryError:
        raise ImageError(f"{path} is a folder, and not an image. Name a file.") from None
    except PermissionError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}. Fix its permissions.") from None


def decode(data: bytes, name: str | Path, remedy: str = REMOVE) -> np.ndarray:
    """Decode an image file's bytes, as `dsa_reid` does in use.

    Args:
        remedy: what else helps than to copy the image again.

    Returns:
        uint8 (H, W, 3), RGB, as `dsa_reid.decoding.decode.decode` says.

    Raises:
        ImageError: if it does not decode to its last row, or has more pixels than $DSA_MAX_PIXELS; the message begins
            with `name`.
    """
    try:
        return decoder.decode(data)
    except LimitError as error:  # the image may be whole
        raise ImageError(f"{name} is not decoded: {error}") from None
    except DecodeError as error:
        raise ImageError(
            f"{name} does not decode as an image: {error}. Copy it again from the source, or {remedy}"
        ) from None


def read(path: Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3), RGB. Raises ImageError."""
    return decode(read_bytes(path), path)


def check_eight_bits(data: bytes, name: str | Path) -> None:
    """Raise ImageError for an I, U, V map that has not 8 bits a channel: `decode` would change its values."""
    bits = decoder.bits(data)
    if bits > 8:
        raise ImageError(
            f"{name} has {bits} bits a channel, expected 8: charts 0 to 24, U and V 0 to 255. "
            "Save it again as an 8-bit PNG."
        )


def encode_png(image: np.ndarray, level: int = 3) -> bytes:
    """Return uint8 (H, W, 3) RGB or (H, W) as the bytes of a PNG."""
    return _encode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, level])


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """Return uint8 (H, W, 3) RGB as the bytes of a JPEG."""
    return _encode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write uint8 (H, W, 3) RGB as a PNG, whole or not at all; return its path."""
    with atomic(path) as part:
        part.write_bytes(encode_png(image))
    return path


def _encode(suffix: str, image: np.ndarray, options: list[int]) -> bytes:
    stored: Any = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    encoded, data = cv2.imencode(suffix, stored, options)
    assert encoded, "OpenCV encodes every uint8 image"
    return bytes(data)
