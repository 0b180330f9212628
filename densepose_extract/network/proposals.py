"""The region proposal network: anchors scored and moved, the best of each level, then the best of all levels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from .boxes import ASPECTS, clip, clip_each, decode, has_area, level_anchors
from .pyramid import CHANNELS
from .suppression import best_of, greedy_each

BEST_OF_LEVEL = 1000  # candidates of each level before suppression
OVERLAP = 0.7  # intersection over union above which the worse box is suppressed
WEIGHTS = (1.0, 1.0, 1.0, 1.0)  # of the deltas, see `boxes.decode`


class ProposalHead(nn.Module):
    """A logit and four deltas for each of three anchors a cell; one head for all levels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        self.objectness_logits = nn.Conv2d(CHANNELS, len(ASPECTS), 1)
        self.anchor_deltas = nn.Conv2d(CHANNELS, 4 * len(ASPECTS), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 256, h, w) -> logits (B, 3hw) and deltas (B, 3hw, 4), float32, in the order of the anchors."""
        x = F.relu(self.conv(x))
        logits = self.objectness_logits(x).float().permute(0, 2, 3, 1).flatten(1)
        deltas = self.anchor_deltas(x).float()  # (B, 12, h, w), the four deltas of an anchor side by side
        deltas = deltas.unflatten(1, (-1, 4)).permute(0, 3, 4, 1, 2).flatten(1, 3)  # (B, 3hw, 4)
        return logits, deltas


class ProposalNetwork(nn.Module):
    """Proposes boxes that may hold a person, out of all anchors on p2 .. p6."""

    def __init__(self) -> None:
        super().__init__()
        self.rpn_head = ProposalHead()

    def forward(self, maps: list[Tensor], sizes: list[tuple[int, int]], count: int) -> list[Tensor]:
        """Return at most `count` proposed boxes an image, best first.

        Args:
            maps: p2 .. p6, each (B, 256, h, w).
            sizes: height and width of each resized image, without its padding.

        Returns:
            B x (≤ count, 4) XYXY float32, clipped to the image.
        """
        boxes, scores, levels = [], [], []
        # Only the best of each level are decoded: at 512 × 256 all levels together have 32,736 anchors.
        for number, (x, base) in enumerate(zip(maps, level_anchors(maps), strict=True)):
            logits, deltas = self.rpn_head(x)
            best, index = logits.topk(min(BEST_OF_LEVEL, logits.shape[1]))  # (B, k)
            deltas = deltas.gather(1, index[:, :, None].expand(-1, -1, 4))
            boxes.append(decode(deltas, base[index], WEIGHTS))
            scores.append(best)
            levels.append(torch.full_like(index[0], number))
        if maps[0].is_cuda:
            return proposals_together(boxes, scores, sizes, count)
        level = torch.cat(levels)  # (N,), the same for every image
        images = zip(torch.cat(boxes, dim=1), torch.cat(scores, dim=1), sizes, strict=True)
        return [best_proposals(box, score, level, size, count) for box, score, size in images]


def best_proposals(boxes: Tensor, scores: Tensor, level: Tensor, size: tuple[int, int], count: int) -> Tensor:
    """Clip one image's candidates, suppress within each level, and keep the `count` best of all levels.

    Args:
        boxes: (N, 4) XYXY.
        scores: (N,) logits.
        level: (N,) the pyramid level of each box.
        size: height and width of the image.

    Returns (≤ count, 4), best first.
    """
    boxes = clip(boxes, *size)
    keep = has_area(boxes) & scores.isfinite()
    boxes, scores, level = boxes[keep], scores[keep], level[keep]
    # Boxes of two levels never suppress each other: an object may be seen well at both sizes.
    return boxes[batched_nms(boxes, scores, level, OVERLAP)[:count]]


def proposals_together(
    boxes: list[Tensor], scores: list[Tensor], sizes: list[tuple[int, int]], count: int
) -> list[Tensor]:
    """Return what `best_proposals` returns for each of B images, computed for all of them together.

    Args:
        boxes: of each level, (B, k, 4), best first.
        scores: of each level, (B, k) logits.
        sizes: height and width of each image.
    """
    clipped = [clip_each(level, sizes) for level in boxes]
    able = [
        has_area(level.flatten(0, 1)).view(level.shape[:2]) & score.isfinite()
        for level, score in zip(clipped, scores, strict=True)
    ]
    stays = greedy_each(clipped, able, OVERLAP)
    best, _ = best_of(torch.cat(clipped, dim=1), torch.cat(scores, dim=1), torch.cat(stays, dim=1), count)
    return best
