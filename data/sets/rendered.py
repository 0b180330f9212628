"""The synthetic dataset: Market-1501's layout, and the outfits where `synth.clothes` gave people several.

A file's name has the outfit where Market-1501's has the sequence: 0002_c1s3_000451_03.jpg. `synth.json`, which the
renderer writes, says whether there are several.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from ..records import Entry
from . import market1501

NOTE = "synth.json"
NAME = re.compile(r"_c[0-9]+s(?P<clothes>[0-9])_")


def scan(root: Path) -> list[Entry]:
    """Return the entries of the images under `root`, without junk. Raises DatasetError as `market1501.scan`."""
    entries = market1501.scan(root)
    if not _has_outfits(root / NOTE):
        return entries
    outfits = [NAME.search(Path(entry.key).name) for entry in entries]
    return [
        dataclasses.replace(entry, clothes=int(match["clothes"])) if match and entry.pid > 0 else entry
        for entry, match in zip(entries, outfits, strict=True)
    ]


def _has_outfits(note: Path) -> bool:
    """Return whether a dataset's note says that people have several outfits; a damaged note says nothing."""
    try:
        return int(json.loads(note.read_text(encoding="utf-8"))["settings"]["clothes"]) > 1
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
