"""The one rule for keys: a key is the path of an image below its dataset's folder, and never leads out of it."""

from __future__ import annotations

LONGEST = 4096  # characters, as of a path


def is_key(text: str) -> bool:
    """Return whether a text is a relative path, "/"-separated, that stays below the folder it starts from."""
    if not text or len(text) > LONGEST or text[0] == "/" or "\0" in text:
        return False
    return ".." not in text or ".." not in text.split("/")
