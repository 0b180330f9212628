"""Reading and writing images: 8-bit RGB arrays, or an error that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import ImageError
from dsa_reid.atomic import atomic

try:
    import cv2
except ImportError as error:  # slim images lack libGL, which opencv-python links
    raise SystemExit(
        f"error: OpenCV does not load ({error}).\n"
        "On Debian and Ubuntu: apt-get install -y libgl1 libglib2.0-0. "
        "Without root: pip install opencv-python-headless in place of opencv-python."
    ) from None

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a damaged image is reported once, as an ImageError
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def is_image(path: Path) -> bool:
    """Return whether a file, by its name, is an image of a type that can be read; hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_bytes(path: Path) -> bytes:
    """Return the bytes of an image file. Raises ImageError if it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path} is missing. Restore it, or write the manifest again: dsa-data prepare.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}. Fix its permissions.") from None


def decode(data: bytes, name: str | Path) -> np.ndarray:
    """Decode the bytes of an image file.

    Returns:
        uint8 (H, W, 3), RGB. Grey is repeated, transparency dropped, 16 bits cut to 8, EXIF rotation applied.

    Raises:
        ImageError: if it does not decode to its last row; the message begins with `name`.
    """
    image = None
    if data:
        try:
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:
            image = None  # too large for OpenCV, or a header with a wrong size
    if image is None:
        raise ImageError(
            f"{name} does not decode as an image ({len(data)} bytes): it is cut short, damaged or of another type. "
            "Copy it again from the source, or remove it and write the manifest again: dsa-data prepare."
        )
    return image


def read(path: Path) -> np.ndarray:
    """Read an image as uint8 (H, W, 3), RGB. Raises ImageError."""
    return decode(read_bytes(path), path)


def check_eight_bits(data: bytes, name: str | Path) -> None:
    """Raise ImageError for an I, U, V map that has not 8 bits a channel: `decode` would change its values."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is not None and image.dtype != np.uint8:
        raise ImageError(
            f"{name} has values of type {image.dtype}, expected 8 bits: charts 0 to 24, U and V 0 to 255. "
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
