"""LTCC (Qian et al., ACCV 2020): people in several outfits: `train/`, `query/`, `test/`, as in 094_1_c9_015833.png.

A name has the person (from 0), the outfit among that person's, and the camera. Protocols: `evaluate.clothes`.
"""

from __future__ import annotations

from pathlib import Path

from ..records import Entry
from . import conventions
from .dataset import Dataset, published
from .layout import check_present

SOURCE = "Ask its authors for LTCC_ReID (naiq.github.io/LTCC_Perosn_ReID.html) and unpack it there."


def scan(root: Path) -> list[Entry]:
    """Return the entries of the images under `root`. Raises DatasetError for a folder that is missing or has others."""
    check_present(root, list(conventions.LTCC.folders), SOURCE)
    return conventions.LTCC.scan(root)


SETS = {
    "ltcc": Dataset(
        scan,
        "LTCC",
        SOURCE,
        "ltcc",
        published((9576, 77), (493, 75), (7050, 75)),
        cameras=12,
        archive_folders=("LTCC_ReID",),
    )
}
