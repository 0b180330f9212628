"""Regions cut out of feature maps (ROI align), in float32 at every precision of the network."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import roi_align

from dsa_reid.upload import upload

from .pyramid import STRIDES

SAMPLING = 2  # samples along each axis of a bin
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4  # a box of the size of an ImageNet image is pooled from p4


def pool(features: Tensor, boxes: list[Tensor], size: int, stride: int) -> Tensor:
    """Cut each image's boxes out of one map: (B, C, h, w), B x (N_b, 4) -> (ΣN_b, C, size, size).

    Without the half-pixel correction of later ROI align (`aligned=False`), as these models were trained. The result has
    the dtype of `features`; sampling is in float32.
    """
    regions: Tensor = roi_align(features.float(), boxes, size, 1 / stride, SAMPLING, aligned=False)
    return regions.to(features.dtype)


def level_of(boxes: Tensor) -> Tensor:
    """Return the pyramid level, 2 .. 5, that a box (N, 4) is pooled from (Lin et al. 2017, equation 1)."""
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    level = torch.floor(CANONICAL_LEVEL + torch.log2(area.sqrt() / CANONICAL_SIDE + 1e-8))
    return level.clamp(2, 5).long()


def pool_levels(maps: list[Tensor], boxes: list[Tensor], size: int) -> Tensor:
    """Cut each image's boxes out of the level that fits their size: -> (ΣN_b, C, size, size).

    Args:
        maps: p2 .. p5, each (B, C, h, w).
        boxes: one (N_b, 4) an image.
    """
    every = torch.cat(boxes)
    owner = torch.arange(len(boxes)).repeat_interleave(torch.tensor([len(b) for b in boxes])).to(every.dtype)
    rois = torch.cat([upload(owner, every.device)[:, None], every], dim=1)  # (ΣN_b, 5): image, x0, y0, x1, y1
    level = level_of(every)
    # The boxes of a level lie between two bounds of the sorted order: one wait for the GPU in place of one a level.
    order = level.argsort(stable=True)
    bounds = (level[:, None] < torch.arange(2, 7, device=level.device)).sum(0).tolist()
    out = maps[0].new_zeros((len(rois), maps[0].shape[1], size, size))
    # Each level pools its own boxes; writing by index keeps the order of the boxes.
    for features, stride, first, end in zip(maps, STRIDES[:4], bounds[:-1], bounds[1:], strict=True):
        indices = order[first:end]
        if len(indices):
            regions = roi_align(features.float(), rois[indices], size, 1 / stride, SAMPLING, aligned=False)
            out[indices] = regions.to(out.dtype)
    return out
