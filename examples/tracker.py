"""A tracker's appearance model: features of the boxes of a frame, and their distances to the tracks.

appearance = Appearance("model.pt", device="cuda")
for frame, boxes in video:                       # BGR as OpenCV reads it, and a detector's x0, y0, x1, y1
    features = appearance(frame, boxes)
    cost = appearance.cost(tracks, features)     # for the Hungarian assignment, with the cost of motion
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

import dsa_reid

MOMENTUM = 0.9  # of a track's feature in its moving average, as in DeepSORT's successors


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

        A box is clipped to the frame. A box that is then empty gets the feature 0, which is at the same distance from
        every person.
        """
        height, width = frame.shape[:2]
        limits = (width, height, width, height)
        crops, indices = [], []
        for index, box in enumerate(boxes):
            x0, y0, x1, y1 = (round(min(max(value, 0), limit)) for value, limit in zip(box, limits, strict=True))
            if x1 > x0 and y1 > y0:
                crops.append(frame[y0:y1, x0:x1, ::-1])  # BGR to RGB
                indices.append(index)
        features = torch.zeros(len(boxes), self.model.dimensions)
        if crops:
            features[indices] = self.model.embed(crops)
        return features

    def cost(self, tracks: torch.Tensor, features: torch.Tensor) -> np.ndarray:
        """Return cosine distances (T, N), 0 to 2, of T tracks to N boxes."""
        return dsa_reid.distances(tracks, features, "cosine").numpy()

    def update(self, track: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        """Return a track's moving average (D,) after a new feature; that of an empty box changes nothing."""
        return MOMENTUM * track + (1 - MOMENTUM) * feature if feature.any() else track
