"""Greedy suppression of overlapping boxes in many images at once, for GPUs.

torchvision suppresses the boxes of one image and waits for the GPU each time, to learn how many are left. Here the
images of a batch are computed together, and the GPU is waited for a few times a batch. The boxes that stay are the same
but for rounding in the overlap; on a CPU the code of one image is kept, and with it every byte.
"""

from __future__ import annotations

import torch
from torch import Tensor

PAIRS = 1 << 25  # of boxes that are compared together: 128 MiB for each of a few float32 tensors
ROUNDS = 4  # of suppression between two checks whether it has ended


def greedy(boxes: Tensor, able: Tensor, overlap: float) -> Tensor:
    """Return which boxes stay: those that no better one that stays overlaps by more than `overlap`.

    Args:
        boxes: (B, N, 4) XYXY, best first.
        able: (B, N) bool; the others neither stay nor suppress.
        overlap: of intersection over union.

    Returns bool (B, N).
    """
    return greedy_each([boxes], [able], overlap)[0]


def greedy_each(boxes: list[Tensor], able: list[Tensor], overlap: float) -> list[Tensor]:
    """Return what `greedy` returns for each of several sets of boxes, waiting for the GPU as often as for one set."""
    # Greedy suppression is the one choice of boxes in which a box stays if and only if no better box that stays
    # overlaps it. Applied to any choice, this rule makes the best box right, then those that depend on it, and so on:
    # it is applied until nothing changes.
    suppresses = [_suppresses(level, overlap) for level in boxes]
    stays = able
    while True:
        before = stays
        for _ in range(ROUNDS):
            stays = [
                can & (torch.bmm(pairs, chosen[:, :, None].to(pairs.dtype))[:, :, 0] == 0)
                for pairs, can, chosen in zip(suppresses, able, stays, strict=True)
            ]
        changed = [(old != new).any() for old, new in zip(before, stays, strict=True)]
        if not torch.stack(changed).any():
            return stays


def _suppresses(boxes: Tensor, overlap: float) -> Tensor:
    """Return whether box j of an image is better than box i and overlaps it: (B, N, 4) to (B, N, N), 1 or 0."""
    B, N = boxes.shape[:2]
    images = max(1, PAIRS // max(1, N * N))
    better = torch.ones(N, N, dtype=torch.bool, device=boxes.device).tril(-1)
    number = torch.float16 if boxes.is_cuda else torch.float32  # sums of at most N zeros and ones are compared with 0
    pieces = (boxes[start : start + images] for start in range(0, B, images))
    return torch.cat([((intersection_over_union(piece) > overlap) & better).to(number) for piece in pieces])


def intersection_over_union(boxes: Tensor) -> Tensor:
    """Return the overlap of all pairs of an image's boxes, (B, N, 4) to (B, N, N); 0 where both are empty."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    area = (x1 - x0) * (y1 - y0)
    # In place: a GPU spends its time here on reading and writing N² numbers.
    width = torch.minimum(x1[:, :, None], x1[:, None]).sub_(torch.maximum(x0[:, :, None], x0[:, None])).clamp_(min=0)
    height = torch.minimum(y1[:, :, None], y1[:, None]).sub_(torch.maximum(y0[:, :, None], y0[:, None])).clamp_(min=0)
    both = width.mul_(height)
    return both.div_((area[:, :, None] + area[:, None]).sub_(both)).nan_to_num_(0.0)


def best_of(boxes: Tensor, scores: Tensor, stays: Tensor, count: int) -> tuple[list[Tensor], list[Tensor]]:
    """Return the `count` best boxes that stay, and their scores, for each image, best first.

    Args:
        boxes: (B, N, 4).
        scores: (B, N).
        stays: (B, N) bool.
    """
    count = min(count, scores.shape[1])
    ranked, index = scores.masked_fill(~stays, -torch.inf).topk(count)  # (B, count)
    best = boxes.gather(1, index[:, :, None].expand(-1, -1, 4))
    numbers = stays.sum(1).clamp(max=count).tolist()  # the one place where all images are waited for
    return (
        [of_image[:number] for of_image, number in zip(best, numbers, strict=True)],
        [of_image[:number] for of_image, number in zip(ranked, numbers, strict=True)],
    )
