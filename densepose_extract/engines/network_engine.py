"""The part that all network engines share: a checkpoint, a device, a recipe, batches by size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from dsa_app.config import to_dict
from dsa_app.errors import EngineError
from dsa_reid.device import usable_device
from dsa_reid.errors import DeviceError

from ..recipe import Recipe
from ..weights import checkpoint as checkpoints
from .engine import identity_of_content
from .sizing import batches


class NetworkEngine:
    """A network with a checkpoint's weights on a device; a subclass builds and runs it."""

    name: str
    precisions: ClassVar[dict[str, torch.dtype]]
    in_flight = 1  # batches that are computed at the same time, each by a thread of its own

    def __init__(
        self,
        checkpoint: str | Path,
        device: str = "cpu",
        precision: str = "fp32",
        recipe: Recipe | None = None,
        sha256: str | None = None,
        cache: Path | None = None,
        bits: int = 8,
        confidence: bool = False,
    ) -> None:
        """Read a checkpoint, given by name or path, and download it if it is not in the cache.

        Args:
            bits: of a coordinate in the maps, 8 or 16.
            confidence: the maps say how sure they are, for an engine that can state it.

        Raises CheckpointError (see `checkpoint.obtain` and `checkpoint.load`), and EngineError for a device or a
        precision that the engine cannot use.
        """
        if precision not in self.precisions:
            known = ", ".join(self.precisions)
            raise EngineError(f"Engine {self.name} has no precision {precision!r}, expected one of: {known}.")
        try:
            self.device = usable_device(device)
        except DeviceError as error:
            raise EngineError(str(error)) from None
        self.precision = precision
        self.recipe = recipe or Recipe()
        self.bits = bits
        self.confidence = confidence
        weights = checkpoints.load(checkpoints.obtain(checkpoint, cache, sha256=sha256))
        self.model, self.digest = weights.model, weights.digest
        self.network = self.build_network(weights)

    def build_network(self, weights: checkpoints.Weights) -> Any:
        """Return the engine's network with these weights, on its device and in its precision."""
        raise NotImplementedError

    @property
    def identity(self) -> dict[str, Any]:
        """Everything besides the images that decides the maps: engine, model, checkpoint, device, precision, recipe."""
        return {
            "engine": self.name,
            "model": self.model,
            "checkpoint": self.digest,
            "device": self.device.type,
            "precision": self.precision,
            **to_dict(self.recipe),
            **identity_of_content(self.bits, "pixels" if self.confidence else "none"),
        }

    def fine(self, height: int, width: int) -> np.ndarray | None:
        """Return an empty map of U and V in 16 bits, uint16 (height, width, 2); None with 8 bits."""
        return np.zeros((height, width, 2), np.uint16) if self.bits == 16 else None

    def batches(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Split images (height, width) into batches by their padded size; see `sizing.batches`."""
        return batches(sizes, self.recipe.min_size, self.recipe.max_size, self.recipe.batch)
