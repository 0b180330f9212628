"""How values are written in messages: long ones shortened, numbers with their noun, times."""

from __future__ import annotations

SHOWN = 100  # characters of a value that a message quotes


def counted(count: int, thing: str, things: str = "") -> str:
    """Return a number with its noun: "1 fault", "2 faults", "2 identities"."""
    return f"{count} {thing if count == 1 else things or thing + 's'}"


def duration(seconds: float) -> str:
    """Return a time in words: "40 s", "3 min 5 s", "2 h 10 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def shown(value: object, length: int = SHOWN) -> str:
    """Return a value as a message quotes it: as Python writes it, shortened in the middle."""
    return shortened(repr(value), length)


def shortened(text: str, length: int = SHOWN) -> str:
    """Return a text, shortened in the middle."""
    if len(text) <= length:
        return text
    half = (length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
