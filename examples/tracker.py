"""A tracker's appearance model: boxes of a frame in, features out, and whom a box may belong to.

appearance = Appearance("model.pt", device="cuda")
for frame, boxes in video:                       # BGR as OpenCV reads it, and a detector's x0, y0, x1, y1
    features = appearance(frame, boxes)
    cost = appearance.cost(tracks, features)     # for the Hungarian assignment, beside motion
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

import dsa_reid

KEEP = 0.9  # of a track's feature, when a new one is mixed in: as in DeepSORT's successors


class Appearance:
    """Features of the people in a frame.

    Args:
        model: a model.pt.
        device: "cpu", "cuda", ...
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        self.model = dsa_reid.load(model, device)

    def __call__(self, frame: np.ndarray, boxes: Sequence[Sequence[float]]) -> torch.Tensor:
        """Return features float32 (N, D) of N boxes in a frame uint8 (H, W, 3), BGR.

        A box is cut at the frame's edge; one that is empty then, or off the frame, gets the feature 0, as far from
        one person as from another.
        """
        height, width = frame.shape[:2]
        limits = (width, height, width, height)
        crops, places = [], []
        for place, box in enumerate(boxes):
            x0, y0, x1, y1 = (round(min(max(value, 0), limit)) for value, limit in zip(box, limits, strict=True))
            if x1 > x0 and y1 > y0:
                crops.append(frame[y0:y1, x0:x1, ::-1])  # BGR to RGB
                places.append(place)
        features = torch.zeros(len(boxes), self.model.dimensions)
        if crops:
            features[places] = self.model.embed(crops)
        return features

    def cost(self, tracks: torch.Tensor, features: torch.Tensor) -> np.ndarray:
        """Return cosine distances (T, N), 0 to 2, of T tracks to N boxes."""
        return dsa_reid.distances(tracks, features, "cosine").numpy()

    def update(self, track: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        """Return a track's feature (D,) with a new one mixed in; an empty box changes nothing."""
        return KEEP * track + (1 - KEEP) * feature if feature.any() else track
