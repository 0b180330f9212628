"""What is refused before anything is decoded: too many pixels, and files too short for the size that they state."""

from __future__ import annotations

import os

LIMIT = 64_000_000  # pixels; a photograph of 8000 x 8000
LIMIT_VARIABLE = "DSA_MAX_PIXELS"


class DecodeError(ValueError):
    """An image that cannot be decoded; the message is the reason, without a file name."""


class LimitError(DecodeError):
    """An image that may be whole, and is refused by $DSA_MAX_PIXELS; the message says what to set."""


def pixel_limit() -> int:
    """Return how many pixels an image may have: $DSA_MAX_PIXELS, or 64 million. Raises DecodeError for another text."""
    text = os.environ.get(LIMIT_VARIABLE, str(LIMIT))
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
        raise LimitError(f"${LIMIT_VARIABLE} is {text[:40]!r}: expected a number of pixels, such as {LIMIT}")
    return int(text)


def check_size(width: int, height: int) -> None:
    """Raise DecodeError for an image without pixels, and for one with more than `pixel_limit`."""
    if width < 1 or height < 1:
        raise DecodeError("it has no pixels")
    limit = pixel_limit()
    if width * height > limit:
        raise LimitError(
            f"it has {width} x {height} pixels, more than the limit of {limit:,}; to read it, set "
            f"{LIMIT_VARIABLE}={width * height}"
        )


def check_length(available: int, needed: int) -> None:
    """Raise DecodeError if fewer bytes are available than the stated size needs."""
    if available < needed:
        raise DecodeError("it is truncated")
