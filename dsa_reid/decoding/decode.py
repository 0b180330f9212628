"""One decoder for every image, in training as in use: the same file gives the same pixels everywhere.

The format is recognised by the first bytes, never by the name; other formats reach no decoder. Only codecs of Pillow
are called, not its file classes, so that what a program sets there (`LOAD_TRUNCATED_IMAGES`, `MAX_IMAGE_PIXELS`)
changes nothing.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from . import bmp, jpeg, png, tiff, webp
from .limits import DecodeError, check_size

FORMATS = "JPEG, PNG, WebP, BMP or uncompressed TIFF"
NO_COLOURS = ("I", "F", "LAB", "HSV")  # modes of Pillow whose numbers are no 8-bit colours


def decode(data: bytes | bytearray | memoryview) -> np.ndarray:
    """Decode the bytes of an image file.

    Returns:
        uint8 (H, W, 3), RGB. Grey is repeated, transparency dropped, 16 bits are cut to their upper 8, the EXIF
        orientation is applied; of an animation the first frame, of a TIFF the first page.

    Raises:
        DecodeError: for another format, and an image that is truncated, damaged, or larger than `limits.pixel_limit`.
    """
    data = bytes(data)
    try:
        pixels, orientation = _read(data)
        return turned(pixels, orientation)
    except DecodeError:
        raise
    except MemoryError:
        raise DecodeError("memory does not suffice to decode it") from None
    except Exception as error:  # whatever a damaged file makes a codec raise
        raise DecodeError(f"it is truncated or damaged ({_reason(error)})") from None


def rgb(image: Image.Image) -> np.ndarray:
    """Return a PIL image as `decode` returns its file: uint8 (H, W, 3), RGB, the EXIF orientation applied.

    Raises DecodeError for one that is damaged, too large, or whose pixels are no colours of 8 or 16 bits (modes I, F,
    LAB, HSV).
    """
    check_size(*image.size)
    if image.mode in NO_COLOURS:
        raise DecodeError(f"its pixels are of mode {image.mode}, which are not 8-bit colours: convert it to RGB")
    try:
        _load(image)
        if image.mode.startswith("I;16"):
            pixels = np.repeat((np.asarray(image) >> 8).astype(np.uint8)[..., None], 3, axis=2)  # (H, W) -> (H, W, 3)
        else:  # a palette with its transparency first, which is then dropped
            pixels = np.asarray((image.convert("RGBA") if image.mode in ("P", "PA") else image).convert("RGB"))
    except Exception as error:  # Pillow's decoders share no base of their errors
        raise DecodeError(f"it is truncated or damaged ({_reason(error)})") from None
    return turned(pixels, _orientation(image))


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (H, W, 3) the way up that an EXIF orientation, 1 to 8, says (CIPA DC-008, 4.6.5); a copy."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)  # (H, W, 3) -> (W, H, 3)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.array(pixels, order="C")


def bits(data: bytes) -> int:
    """Return how many bits each colour of an image file has, as far as more than 8 are possible."""
    if data.startswith(b"\x89PNG"):
        return png.bits(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return max(tiff.read_directory(data)[1].get(tiff.BITS, (1,)))
    return 8


def _read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the image as it is stored, and its orientation."""
    if data.startswith(b"\xff\xd8\xff"):
        return jpeg.read(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return png.read(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp.read(data)
    if data.startswith(b"BM"):
        return bmp.read(data), 1
    if data.startswith((b"II*\0", b"MM\0*")):
        return tiff.read(data)
    raise DecodeError(f"it is not a {FORMATS} file" if data else "the file is empty")


def _load(image: Image.Image) -> None:
    """Decode a PIL image if that was not done yet.

    Pillow 13 maps an uncompressed TIFF into memory by its height and width as they are after turning, so that an
    orientation of 5 to 8 shifts its rows. It does so only where it knows a file name.
    """
    name = getattr(image, "filename", None)
    if image.format != "TIFF" or not name:
        image.load()
        return
    try:
        image.filename = ""  # type: ignore[attr-defined]
        image.load()
    finally:
        image.filename = name  # type: ignore[attr-defined]


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of a PIL image, 1 to 8; 1 where there is none that can be read."""
    if image.format == "TIFF":
        value = getattr(image, "tag_v2", {}).get(tiff.ORIENTATION, 1)
        return value if isinstance(value, int) and 1 <= value <= 8 else 1
    exif = image.info.get("exif", b"")
    return tiff.orientation_in(exif) if isinstance(exif, bytes) else 1


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
