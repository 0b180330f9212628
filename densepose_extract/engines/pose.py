"""The `pose` engine: I, U, V from 33 landmarks of the body and a person mask, without DensePose."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ..pose.blazepose import BlazePose
from ..pose.facing import skeleton_facing
from ..pose.person_map import person_map
from .engine import Extracted, identity_of_content
from .maps import body_box

VERSION = 1  # raised when the same images get other maps
BATCH = 16  # images of a batch; each is computed on its own
FOUND = 0.3  # presence of a person from which the map is kept


class PoseEngine:
    """BlazePose's landmarks, from which each pixel of the person gets its place on the body's surface.

    Each image is computed on its own, by one of `threads` threads: the maps do not depend on how many there are.
    """

    name = "pose"

    def __init__(self, model: Path, digest: str, bits: int = 8, threads: int = 1) -> None:
        """Load the network.

        Args:
            model: the network's file (`pose.model_file.obtain`).
            digest: SHA-256 of the file.
            bits: of a coordinate in the maps, 8 or 16.

        Raises EngineError, see `BlazePose`.
        """
        self.bits, self.digest = bits, digest
        self._network = BlazePose(model)
        self._pool = ThreadPoolExecutor(threads)

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name and version, the network's digest, and what its maps hold."""
        return {
            "engine": self.name,
            "version": VERSION,
            "model": self.digest,
            **identity_of_content(self.bits, "pixels"),
        }

    def batches(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Split images into batches of indices, in their order."""
        indices = range(len(sizes))
        return [list(indices[start : start + BATCH]) for start in range(0, len(sizes), BATCH)]

    def extract(self, images: Sequence[np.ndarray]) -> list[Extracted]:
        """Return the maps of RGB images, each uint8 (H, W, 3), with their confidence. The score is the presence."""
        return list(self._pool.map(self._extract, images))

    def _extract(self, image: np.ndarray) -> Extracted:
        looks = self._network.looks(image)
        presence = looks[-1].presence
        if presence >= FOUND:
            found = person_map(skeleton_facing(image, looks), looks[-1].mask)
            if found.iuv[..., 0].any():
                fine = found.fine if self.bits == 16 else None
                box = body_box(found.iuv)
                return Extracted(found.iuv, presence, box, "found", fine, found.confidence)
        return Extracted.no_person(*image.shape[:2])
