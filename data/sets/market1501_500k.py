"""Market-1501 with its authors' 500,000 additional distractors: `images/`, next to `query/`.

All of them are distractors in the gallery, whatever identity their names have. Training images and queries are those of
`market1501`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from dsa_app.errors import DatasetError

from ..records import Entry
from . import market1501
from .dataset import published
from .layout import DISTRACTOR

FOLDER = "images"
MARKET = market1501.SETS["market1501"]
SOURCE = f"Download distractors_500k.zip from the authors of Market-1501: put its {FOLDER}/ next to query/."


def scan(root: Path) -> list[Entry]:
    """Return all entries under `root`. Raises DatasetError as `market1501.scan`, or if the distractors are missing."""
    entries = market1501.scan(root)
    if not (root / FOLDER).is_dir():
        raise DatasetError(f"{root} lacks {FOLDER}. {SOURCE}")
    distractors = market1501.list_folder(root, FOLDER, "gallery")
    return entries + [dataclasses.replace(entry, pid=DISTRACTOR) for entry in distractors]


SETS = {
    "market1501-500k": dataclasses.replace(
        MARKET,
        scan=scan,
        title="Market-1501 with 500,000 additional distractors",
        source=f"{MARKET.source} {SOURCE}",
        published=published((12936, 751), (3368, 750), (515913, 750)),
    )
}
