"""The `rendered` engine: the true maps of the synthetic dataset, with the errors of an estimator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.config import to_dict
from dsa_app.errors import EngineError, ImageError
from dsa_data import images
from dsa_data.records import Record

from ..config import EstimatorErrors
from .engine import identity_of_content
from .estimator_errors import estimate
from .map_files import MapValues, map_name
from .maps import MapFile
from .stated import stated_confidence

TRUTH = "iuv"  # folder of a synthetic dataset with its true maps: iuv/<folder>/<stem>_IUV.png


@dataclass(frozen=True)
class EstimatedFile(MapFile):
    """The file with an image's true map, and the errors to apply to it.

    The errors are sampled from the image's digest and the errors' seed, so that they do not depend on the order of
    extraction or on the machine.

    Attributes:
        errors: of the estimator.
        states_confidence: whether it says how sure it is.
    """

    errors: EstimatorErrors = field(default_factory=EstimatorErrors)
    states_confidence: bool = False

    def pixels(self, path: Path, record: Record) -> MapValues:
        """Return the map with errors, and the confidence that is stated of it. Raises ImageError as `read` does."""
        seed = [self.errors.seed, int(record.digest, 16)]
        made = estimate(super().pixels(path, record).values, self.errors, np.random.default_rng(seed))
        if not self.states_confidence:
            return MapValues(made.iuv)
        own = np.random.default_rng([*seed, 1])
        return MapValues(made.iuv, confidence=stated_confidence(made, self.errors, own))


class Rendered:
    """The renderer's maps of the dataset at `root`, with errors. A person that is detected has score 1.

    With `confidence` every map says how sure the estimator would be of it (`stated`).

    Raises EngineError if the dataset has no rendered maps.
    """

    name = "rendered"

    def __init__(self, root: Path, errors: EstimatorErrors | None = None, confidence: bool = False) -> None:
        self.errors = errors or EstimatorErrors()
        self.confidence = confidence
        self.folder = root / TRUTH
        if not self.folder.is_dir():
            raise EngineError(
                f"{self.folder} is missing: only a synthetic dataset has rendered maps. Render it: dsa-data synth. For "
                "photographs use --engine native, or import maps: densepose-extract import."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name and its errors: with the files, they decide every map."""
        errors = to_dict(self.errors)
        if not self.confidence:  # without it `known` has no effect, and stores have the bytes that they always had
            del errors["known"]
        if not self.errors.turned:  # a setting that came later: without it stores have the bytes that they had before
            del errors["turned"]
        return {
            "engine": self.name,
            "errors": errors,
            **identity_of_content(8, "pixels" if self.confidence else "none"),
        }

    def find(self, record: Record) -> MapFile:
        """Return the file with the true map. Raises ImageError if it is missing."""
        path = self.folder / map_name(record.key)
        digest = hashlib.sha256(images.read_bytes(path)).hexdigest()
        return EstimatedFile(path, digest, score=1.0, errors=self.errors, states_confidence=self.confidence)

    def count_without_person(self, keys: Iterable[str]) -> int | None:
        """Return how many of these images show no person at all: their true maps are empty. None if one is missing."""
        try:
            return sum(not images.read(self.folder / map_name(key)).any() for key in keys)
        except ImageError:
            return None
