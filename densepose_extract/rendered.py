"""The `rendered` engine: the truth that the synthetic dataset keeps of every pixel."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from data import images
from data.errors import EngineError
from data.records import Record

from .maps import MapFile, map_name

TRUTH = "iuv"  # the folder of a synthetic dataset where the truth lies: iuv/<folder>/<stem>_IUV.png


class Rendered:
    """The renderer's maps of the dataset at `root`; whoever is in a picture is found, with score 1.

    Raises EngineError if the dataset was not drawn.
    """

    name = "rendered"

    def __init__(self, root: Path) -> None:
        self.folder = root / TRUTH
        if not self.folder.is_dir():
            raise EngineError(
                f"{self.folder} is missing: only the synthetic dataset has rendered maps (draw it: dsa-data synth). "
                "For photographs say --engine native, or bring maps with densepose-extract import."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name: nothing else but the files decides."""
        return {"engine": self.name}

    def find(self, record: Record) -> MapFile:
        """Return the file with the true map. Raises PictureError if it is missing."""
        path = self.folder / map_name(record.key)
        return MapFile(path, hashlib.sha256(images.read_bytes(path)).hexdigest(), score=1.0)
