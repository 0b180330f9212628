"""JPEG (ITU-T T.81), baseline and progressive: its markers are followed here, its scans are decoded by Pillow's codec.

libjpeg fills what a file lacks with grey and says so on stderr alone. So the markers must lead from the first to the
end mark, all scans and their restart marks must be there, and no stretch of coded data between two marks may end early.
"""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from PIL import Image

from .limits import DecodeError, check_size
from .tiff import orientation_in

END = b"\xff\xd9"
PROBE = b"\xb5\x6a\xd3\x2c" * 8  # put behind coded data; without 0xFF, which starts a marker
RESTART = re.compile(rb"\xff([\xd0-\xd7])")
MARKER = re.compile(rb"\xff+([^\x00\xd0-\xd7\xff])")  # after a scan: no stuffed zero, no restart
READ = (0xC0, 0xC1, 0xC2)  # frames coded by Huffman: baseline, extended, progressive
PROGRESSIVE = 0xC2
UNREAD = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)  # lossless, hierarchical, arithmetic
COMMENTS = (*range(0xE1, 0xEE), 0xEF, 0xFE)  # not needed for decoding; 0xE0 and 0xEE state the colours' form
SCANS = 100  # encoders make about ten; each takes time in proportion to the pixels
COEFFICIENTS = 64  # of a block


@dataclasses.dataclass
class Layout:
    """What the markers of a file state.

    Attributes:
        bare: the file without comments, up to its end mark, which is left out.
        coded: where in `bare` the coded data of scans are.
        interval: blocks of a scan (MCUs) between two restart marks; 0 for none.
        restarts: how many restart marks the latest scan must have.
        components: of the frame, by their identifiers: how many low bits each coefficient still lacks; 99 for all.
        sampling: of the components, by their identifiers: horizontal and vertical factor.
    """

    bare: list[bytes] = dataclasses.field(default_factory=lambda: [b"\xff\xd8"])
    width: int = 0
    height: int = 0
    frame: int = 0
    scans: int = 0
    coded: list[int] = dataclasses.field(default_factory=list)
    interval: int = 0
    restarts: int = 0
    exif: bytes = b""
    components: dict[int, list[int]] = dataclasses.field(default_factory=dict)
    sampling: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)


def read(data: bytes) -> tuple[np.ndarray, int]:
    """Return the image of a JPEG file, uint8 (H, W, 3), and its EXIF orientation. Raises DecodeError."""
    layout = _follow(data)
    whole = b"".join(layout.bare) + END
    _check_complete(layout, whole)
    pixels = _decoded(layout, whole)
    # Other bytes are put behind all coded data, before each mark, and the file is decoded again: where nothing was
    # missing they are never read, and where something was they change the pixels. It takes as long as decoding did.
    for place in layout.coded:
        layout.bare[place] = RESTART.sub(lambda mark: PROBE + mark[0], layout.bare[place]) + PROBE
    try:
        fine = np.array_equal(pixels, _decoded(layout, b"".join(layout.bare) + END))
    except DecodeError:
        fine = False
    if not fine:
        raise DecodeError("it ends early: a part of its data is missing")
    return pixels, orientation_in(layout.exif)


def _follow(data: bytes) -> Layout:
    """Follow the markers from the beginning to the end mark."""
    layout, place, in_scan = Layout(), 2, False
    while True:
        found = MARKER.search(data, place) if in_scan else MARKER.match(data, place)
        if found is None:
            raise DecodeError("it is truncated (it has no end mark)" if place < len(data) else "it is truncated")
        code, start = found[1][0], found.end()
        if in_scan:
            _end_scan(layout, data[place : found.start()])
        if code == END[1]:
            return layout
        length = int.from_bytes(data[start : start + 2], "big")
        content = data[start + 2 : start + length]
        if length < 2 or start + length > len(data):
            raise DecodeError("it is truncated")
        if code == 0xE1 and content.startswith(b"Exif\0\0"):
            layout.exif = layout.exif or content
        if code not in COMMENTS:
            layout.bare.append(data[found.start() : start + length])
        if code == 0xDD and len(content) >= 2:
            layout.interval = int.from_bytes(content[:2], "big")
        elif code in READ or code in UNREAD:
            _begin_frame(layout, code, content)
        elif code == 0xDA:
            _begin_scan(layout, content)
        place, in_scan = start + length, code == 0xDA


def _begin_frame(layout: Layout, code: int, content: bytes) -> None:
    """Take in a frame's header (T.81, B.2.2)."""
    if layout.frame or len(content) < 6 or len(content) < 6 + 3 * content[5]:
        raise DecodeError("it is damaged (the header of its frame)")
    if code in UNREAD or content[0] != 8:
        raise DecodeError(
            "it is a JPEG of a rare kind (lossless, arithmetic or 12 bits), which is not read: save it as PNG"
        )
    layout.frame = code
    layout.height, layout.width = int.from_bytes(content[1:3], "big"), int.from_bytes(content[3:5], "big")
    check_size(layout.width, layout.height)
    layout.components = {content[6 + 3 * n]: [99] * COEFFICIENTS for n in range(content[5])}
    layout.sampling = {content[6 + 3 * n]: divmod(content[7 + 3 * n], 16) for n in range(content[5])}
    if not all(0 < factor <= 4 for factors in layout.sampling.values() for factor in factors):
        raise DecodeError("it is damaged (the header of its frame)")
    if len(layout.components) not in (1, 3, 4):
        raise DecodeError(f"it has {len(layout.components)} colours, expected 1, 3 or 4")


def _begin_scan(layout: Layout, content: bytes) -> None:
    """Take in a scan's header (T.81, B.2.3): which bits of which coefficients it brings."""
    layout.scans += 1
    count = content[0] if content else 0
    if not layout.frame or len(content) < 4 + 2 * count or layout.scans > SCANS:
        raise DecodeError("it is damaged (the header of a scan)")
    first, last, low = content[1 + 2 * count], content[2 + 2 * count], content[3 + 2 * count] & 15
    if layout.frame != PROGRESSIVE:
        first, last, low = 0, COEFFICIENTS - 1, 0
    identifiers = content[1 : 1 + 2 * count : 2]
    layout.restarts = max(0, _blocks(layout, identifiers) - 1) // layout.interval if layout.interval else 0
    for identifier in identifiers:
        left = layout.components.get(identifier, [])
        left[first : last + 1] = [low] * len(left[first : last + 1])


def _blocks(layout: Layout, identifiers: bytes) -> int:
    """Return how many blocks (MCUs) a scan of some components has (T.81, A.2)."""
    most_x = max(x for x, _ in layout.sampling.values())
    most_y = max(y for _, y in layout.sampling.values())
    if len(identifiers) == 1:  # its own blocks of 8 x 8, as many as its own size needs
        x, y = layout.sampling.get(identifiers[0], (1, 1))
        width, height = -(-layout.width * x // most_x), -(-layout.height * y // most_y)
        return -(-width // 8) * -(-height // 8)
    return -(-layout.width // (8 * most_x)) * -(-layout.height // (8 * most_y))


def _end_scan(layout: Layout, coded: bytes) -> None:
    """Take in the coded data behind a scan's header."""
    marks = [mark[0] & 7 for mark in RESTART.findall(coded)]
    if marks != [n & 7 for n in range(layout.restarts)]:
        raise DecodeError("it ends early or is damaged (restart marks are missing)")
    layout.coded.append(len(layout.bare))
    layout.bare.append(coded)


def _check_complete(layout: Layout, whole: bytes) -> None:
    """Raise DecodeError if scans are missing, or if there are fewer bits than blocks of 8 x 8 pixels."""
    lacks = any(any(left) for left in layout.components.values())
    if not layout.frame or lacks or 8 * len(whole) < layout.width * layout.height // COEFFICIENTS:
        raise DecodeError("it ends early: a part of its data is missing")


def _decoded(layout: Layout, data: bytes) -> np.ndarray:
    mode, form = {1: ("L", "L"), 3: ("RGB", "RGB"), 4: ("CMYK", "CMYK;I")}[len(layout.components)]
    try:
        image = Image.frombytes(mode, (layout.width, layout.height), data, "jpeg", form, "")
    except (ValueError, OSError):
        raise DecodeError("it is truncated or damaged") from None
    return np.asarray(image if mode == "RGB" else image.convert("RGB"))
