"""Pictures from disk: 8-bit RGB arrays or an error that names the file."""

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

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # a broken picture is reported once, by us
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


def is_image(path: Path) -> bool:
    """Tell by its name whether a file is a picture that we read; hidden files are not."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_bytes(path: Path) -> bytes:
    """Return a picture file's bytes. Raises ImageError if it is missing or not readable."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{path} is missing. Restore it, or list the pictures again: dsa-data prepare.") from None
    except (PermissionError, IsADirectoryError) as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}. Mend its permissions.") from None


def decode(data: bytes, name: str | Path) -> np.ndarray:
    """Decode a picture file's bytes.

    Returns:
        uint8 (H, W, 3), RGB. Grey is repeated, transparency dropped, 16 bits cut to 8, EXIF rotation applied.

    Raises:
        ImageError: if it does not decode to its last row; `name` says which it was.
    """
    picture = None
    if data:
        try:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        except cv2.error:
            picture = None  # too large for OpenCV, or a header that lies
    if picture is None:
        raise ImageError(
            f"{name} does not decode as a picture ({len(data)} bytes): it is cut short, damaged or of another kind. "
            "Copy it again from the source, or remove it and list the pictures again: dsa-data prepare."
        )
    return picture


def read(path: Path) -> np.ndarray:
    """Read a picture as uint8 (H, W, 3), RGB. Raises ImageError."""
    return decode(read_bytes(path), path)


def check_eight_bits(data: bytes, name: str | Path) -> None:
    """Raise ImageError for a picture of numbers, as an I, U, V map is, that has not 8 bits: they would be cut off."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is not None and picture.dtype != np.uint8:
        raise ImageError(
            f"{name} holds {picture.dtype} where 8 bits were expected: charts are 0 to 24, U and V 0 to 255. "
            "Save it again as an 8-bit PNG."
        )


def encode_png(picture: np.ndarray, level: int = 3) -> bytes:
    """Return uint8 (H, W, 3) RGB or (H, W) as the bytes of a PNG."""
    return _encode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, level])


def encode_jpeg(picture: np.ndarray, quality: int = 90) -> bytes:
    """Return uint8 (H, W, 3) RGB as the bytes of a JPEG."""
    return _encode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write uint8 (H, W, 3) RGB as a PNG, whole or not at all; return its path."""
    with atomic(path) as part:
        part.write_bytes(encode_png(picture))
    return path


def _encode(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    stored: Any = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    fine, data = cv2.imencode(suffix, stored, options)
    assert fine, "OpenCV encodes every uint8 picture"
    return bytes(data)
