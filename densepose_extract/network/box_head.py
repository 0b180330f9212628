"""The box head: is there a person in a proposed box, and where exactly?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from .boxes import clip, decode
from .pooling import pool_levels
from .pyramid import CHANNELS

SIZE = 7  # of a pooled region
WIDTH = 1024
OVERLAP = 0.5  # intersection over union above which the worse box is suppressed
WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the deltas, see `boxes.decode`


class BoxHead(nn.Module):
    """Two fully connected layers over a pooled region."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(CHANNELS * SIZE * SIZE, WIDTH)
        self.fc2 = nn.Linear(WIDTH, WIDTH)

    def forward(self, maps: list[Tensor], proposals: list[Tensor]) -> Tensor:
        """p2 .. p5 and B x (N_b, 4) -> (ΣN_b, 1024)."""
        x = pool_levels(maps, proposals, SIZE).flatten(1)
        return F.relu(self.fc2(F.relu(self.fc1(x))))


class BoxPredictor(nn.Module):
    """Person or background, and the box's four deltas."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_score = nn.Linear(WIDTH, 2)  # the person first, the background last
        self.bbox_pred = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 1024), (N, 4) -> moved boxes (N, 4) and the probability of a person (N,), both float32."""
        boxes = decode(self.bbox_pred(x), proposals, WEIGHTS)
        return boxes, self.cls_score(x).float().softmax(-1)[:, 0]


def best_people(
    boxes: Tensor, scores: Tensor, size: tuple[int, int], threshold: float, count: int
) -> tuple[Tensor, Tensor]:
    """Clip one image's boxes (N, 4), drop those that score at most `threshold`, suppress, keep the `count` best.

    Returns:
        Boxes (D, 4) and scores (D,), best first.
    """
    keep = boxes.isfinite().all(-1) & scores.isfinite() & (scores > threshold)
    boxes, scores = clip(boxes[keep], *size), scores[keep]
    person = torch.zeros_like(scores, dtype=torch.long)  # the only class
    order = batched_nms(boxes, scores, person, OVERLAP)[:count]
    return boxes[order], scores[order]
