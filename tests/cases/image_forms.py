"""Image files of every form that is read: formats, bits, kinds of colour and the eight orientations, with their pixels.

The pixels come from other decoders than ours: OpenCV's, or Pillow's file classes where OpenCV rounds otherwise.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps

ORIENTATIONS = range(1, 9)
SMOOTH = cv2.resize(
    np.random.default_rng(0).integers(0, 256, (12, 6, 3), dtype=np.uint8), (21, 43), interpolation=cv2.INTER_CUBIC
)
"""uint8 (43, 21, 3), RGB: neither side a multiple of 8, of 2 or of each other."""
DEEP = np.random.default_rng(1).integers(0, 65536, (43, 21, 3), dtype=np.uint16)


class Form(NamedTuple):
    """A form of image file.

    Attributes:
        encode: makes the bytes, without an orientation.
        turn: adds an EXIF orientation to the bytes; None where the format has none.
        by_opencv: whether OpenCV gives the same pixels; else Pillow does.
    """

    encode: Callable[[], bytes]
    turn: Callable[[bytes, int], bytes] | None
    by_opencv: bool = True

    def file(self, orientation: int = 1) -> bytes:
        """Return the bytes of a file."""
        data = self.encode()
        return self.turn(data, orientation) if self.turn and orientation > 1 else data

    def pixels(self, orientation: int = 1) -> np.ndarray:
        """Return what the file shows, uint8 (H, W, 3), RGB."""
        data = self.encode()
        if self.by_opencv:
            stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
        else:
            stored = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        image = Image.fromarray(stored)
        image.getexif()[0x0112] = orientation
        return np.asarray(ImageOps.exif_transpose(image))


def exif(orientation: int, order: str = ">") -> bytes:
    """Return an EXIF block that holds an orientation, after another tag."""
    mark = {">": b"MM\0*", "<": b"II*\0"}[order]
    entries = struct.pack(order + "HHII", 0x0100, 4, 1, 7) + struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return mark + struct.pack(order + "IH", 8, 2) + entries + bytes(4)


def png_chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG file with its checksum."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return an image as Pillow writes it."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _pillow(mode: str, kind: str, **options: object) -> Callable[[], bytes]:
    return lambda: encoded(Image.fromarray(SMOOTH).convert(mode), kind, **options)


def _palette(kind: str, bits: int) -> Callable[[], bytes]:
    options = {"bits": bits} if kind == "PNG" else {}
    return lambda: encoded(Image.fromarray(SMOOTH).quantize(2**bits), kind, **options)


def _opencv(ending: str, image: np.ndarray, *options: int) -> Callable[[], bytes]:
    return lambda: cv2.imencode(ending, image, list(options))[1].tobytes()


def _turn_jpeg(data: bytes, orientation: int) -> bytes:
    block = b"Exif\0\0" + exif(orientation, "<")
    return data[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block + data[2:]


def _turn_png(data: bytes, orientation: int) -> bytes:
    end = data.index(b"IDAT") - 4
    return data[:end] + png_chunk(b"eXIf", exif(orientation)) + data[end:]


def _turn_webp(data: bytes, orientation: int) -> bytes:
    image = Image.open(io.BytesIO(data))
    lossless = b"VP8L" in data
    assert lossless, "lossy images are encoded with their orientation"
    return encoded(image, "WEBP", lossless=True, exif=exif(orientation))


def _turn_lossy_webp(data: bytes, orientation: int) -> bytes:
    """Put the frame into the extended form, with an EXIF chunk behind it."""
    block = exif(orientation)
    width, height = Image.open(io.BytesIO(data)).size
    sizes = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunks = (
        b"WEBPVP8X" + struct.pack("<IB3x", 10, 8) + sizes + data[12:] + b"EXIF" + struct.pack("<I", len(block)) + block
    )
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _turn_tiff(data: bytes, orientation: int) -> bytes:
    """Append a directory that has the orientation too."""
    order = "<" if data[:2] == b"II" else ">"
    (start,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, start)
    entries = [data[start + 2 + 12 * n : start + 14 + 12 * n] for n in range(count)]
    entries = [entry for entry in entries if struct.unpack_from(order + "H", entry)[0] != 0x0112]
    entries.append(struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0))
    entries.sort(key=lambda entry: struct.unpack_from(order + "H", entry)[0])
    data += bytes(len(data) % 2)
    moved = data[:4] + struct.pack(order + "I", len(data)) + data[8:]
    return moved + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


FORMS: dict[str, Form] = {
    "jpeg": Form(_pillow("RGB", "JPEG"), _turn_jpeg),
    "jpeg 4:4:4": Form(_pillow("RGB", "JPEG", subsampling=0, quality=95), _turn_jpeg),
    "jpeg 4:2:2": Form(_pillow("RGB", "JPEG", subsampling=1), _turn_jpeg),
    "jpeg progressive": Form(_pillow("RGB", "JPEG", progressive=True), _turn_jpeg),
    "jpeg restarts": Form(_pillow("RGB", "JPEG", restart_marker_blocks=2), _turn_jpeg),
    "jpeg grey": Form(_pillow("L", "JPEG"), _turn_jpeg),
    "jpeg cmyk": Form(_pillow("CMYK", "JPEG"), _turn_jpeg, by_opencv=False),
    **{
        f"png {mode}": Form(_pillow(mode, "PNG"), _turn_png)
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    },
    **{f"png palette {bits}": Form(_palette("PNG", bits), _turn_png) for bits in (1, 2, 4)},
    "png 16 grey": Form(_opencv(".png", DEEP[..., 0]), _turn_png),
    "png 16 RGB": Form(_opencv(".png", DEEP), _turn_png),
    "png 16 RGBA": Form(_opencv(".png", np.concatenate([DEEP, DEEP[..., :1]], 2)), _turn_png),
    "webp": Form(_pillow("RGB", "WEBP"), _turn_lossy_webp),
    "webp lossless": Form(_pillow("RGB", "WEBP", lossless=True), _turn_webp),
    "webp RGBA": Form(_pillow("RGBA", "WEBP", lossless=True), _turn_webp),
    **{f"bmp {mode}": Form(_pillow(mode, "BMP"), None) for mode in ("1", "L", "P", "RGB", "RGBA")},
    **{f"bmp palette {bits}": Form(_palette("BMP", bits), None) for bits in (1, 4)},
    **{
        f"tiff {mode} {name}": Form(_pillow(mode, "TIFF", compression=name), _turn_tiff)
        for mode in ("1", "L", "P", "RGB", "RGBA")
        for name in ("raw", "packbits")
    },
    "tiff 16 grey": Form(_opencv(".tiff", DEEP[..., 0], cv2.IMWRITE_TIFF_COMPRESSION, 1), _turn_tiff),
    "tiff 16 RGB": Form(_opencv(".tiff", DEEP, cv2.IMWRITE_TIFF_COMPRESSION, 1), _turn_tiff, by_opencv=False),
}  # fmt: skip
CASES = [(name, orientation) for name, form in FORMS.items() for orientation in (ORIENTATIONS if form.turn else [1])]
