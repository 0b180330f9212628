"""The box head: is there a person in a proposed box, and where exactly?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchvision.ops import batched_nms

from .boxes import clip, clip_each, decode
from .pooling import pool_levels
from .pyramid import CHANNELS
from .suppression import best_of, greedy

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


def people_together(
    boxes: Tensor, scores: Tensor, lengths: list[int], sizes: list[tuple[int, int]], threshold: float, count: int
) -> list[tuple[Tensor, Tensor]]:
    """Return what `best_people` returns for each of B images, computed for all of them together.

    Args:
        boxes: (ΣP, 4) of all images, one image after another.
        scores: (ΣP,).
        lengths: P of each image.
        sizes: height and width of each image.
    """
    padded = pad_sequence(boxes.split(lengths), batch_first=True)  # (B, P, 4)
    ranked = pad_sequence(scores.split(lengths), batch_first=True, padding_value=-torch.inf)  # (B, P)
    ranked, order = ranked.sort(dim=1, descending=True, stable=True)
    padded = padded.gather(1, order[:, :, None].expand(-1, -1, 4))
    able = padded.isfinite().all(-1) & ranked.isfinite() & (ranked > threshold)
    padded = clip_each(padded, sizes)
    best, best_scores = best_of(padded, ranked, greedy(padded, able, OVERLAP), count)
    return list(zip(best, best_scores, strict=True))
