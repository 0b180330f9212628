"""The `rendered` engine: the truth that the synthetic dataset keeps of every pixel, with the errors of an estimator."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.config import to_dict
from dsa_app.errors import EngineError
from dsa_data import images
from dsa_data.records import Record

from .estimator_errors import EstimatorErrors, estimated
from .maps import MapFile, map_name

TRUTH = "iuv"  # the folder of a synthetic dataset where the truth lies: iuv/<folder>/<stem>_IUV.png


@dataclass(frozen=True)
class EstimatedFile(MapFile):
    """The file with a picture's true map, and what is to go wrong with it.

    The errors are drawn from the picture's digest and their seed: they are the same wherever and whenever they are
    made.
    """

    errors: EstimatorErrors = field(default_factory=EstimatorErrors)

    def pixels(self, path: Path, record: Record) -> np.ndarray:
        """Return the map with errors. Raises ImageError as `read` does."""
        generator = np.random.default_rng([self.errors.seed, int(record.digest, 16)])
        return estimated(super().pixels(path, record), self.errors, generator)


class Rendered:
    """The renderer's maps of the dataset at `root`, with errors; whoever is found has score 1.

    Raises EngineError if the dataset was not drawn.
    """

    name = "rendered"

    def __init__(self, root: Path, errors: EstimatorErrors | None = None) -> None:
        self.errors = errors or EstimatorErrors()
        self.folder = root / TRUTH
        if not self.folder.is_dir():
            raise EngineError(
                f"{self.folder} is missing: only the synthetic dataset has rendered maps (draw it: dsa-data synth). "
                "For photographs say --engine native, or bring maps with densepose-extract import."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name and its errors: nothing else but the files decides."""
        return {"engine": self.name, "errors": to_dict(self.errors)}

    def find(self, record: Record) -> MapFile:
        """Return the file with the true map. Raises ImageError if it is missing."""
        path = self.folder / map_name(record.key)
        digest = hashlib.sha256(images.read_bytes(path)).hexdigest()
        return EstimatedFile(path, digest, score=1.0, errors=self.errors)
