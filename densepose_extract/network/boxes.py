"""Box arithmetic, all in float32: in bf16 a coordinate above 256 is off by 2 to 4 px.

Boxes are (…, 4) XYXY in pixels of the resized image unless said otherwise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from dsa_reid.upload import constant, upload

from .pyramid import STRIDES

SIDES = (32, 64, 128, 256, 512)  # of the square anchors on p2 .. p6
ASPECTS = (0.5, 1.0, 2.0)  # height over width
MAX_LOG_SCALE = math.log(1000 / 16)  # before the exponential, so that no size overflows


def anchors(side: float, stride: int, height: int, width: int, device: torch.device) -> Tensor:
    """Return the anchors of one level (height · width · 3, 4), centred on (x · stride, y · stride), unrounded.

    Row by row, column by column, then by aspect: the order in which `ProposalHead` flattens its answers.
    """
    # An anchor of aspect a = h / w covers side² pixels: w = √(side² / a).
    halves = []
    for aspect in ASPECTS:
        w = math.sqrt(side**2 / aspect)
        h = aspect * w
        halves.append((-w / 2, -h / 2, w / 2, h / 2))
    cell = constant(tuple(halves), device)  # (3, 4)
    x = torch.arange(width, device=device, dtype=torch.float32) * stride
    y = torch.arange(height, device=device, dtype=torch.float32) * stride
    y, x = torch.meshgrid(y, x, indexing="ij")
    centres = torch.stack([x, y, x, y], dim=-1)  # (height, width, 4)
    return (centres[:, :, None] + cell).reshape(-1, 4)


def level_anchors(maps: list[Tensor]) -> list[Tensor]:
    """Return the anchors of every level of a pyramid (B, C, h, w) x 5."""
    return [
        anchors(side, stride, level.shape[2], level.shape[3], level.device)
        for level, side, stride in zip(maps, SIDES, STRIDES, strict=True)
    ]


def decode(deltas: Tensor, boxes: Tensor, weights: tuple[float, float, float, float]) -> Tensor:
    """Return `boxes` (…, 4) moved and scaled by `deltas` (…, 4): centre and size as in R-CNN (CVPR 2014, appendix C).

    Args:
        deltas: dx, dy in widths and heights of the box, dw, dh as logarithms, each multiplied by its weight.
        weights: the factors that the deltas were trained with.
    """
    # In float32 from the division on: the deltas may come in bf16, the boxes never do.
    dx, dy, dw, dh = (deltas.float() / constant(weights, deltas.device)).unbind(-1)
    w = boxes[..., 2] - boxes[..., 0]
    h = boxes[..., 3] - boxes[..., 1]
    x = dx * w + (boxes[..., 0] + 0.5 * w)
    y = dy * h + (boxes[..., 1] + 0.5 * h)
    w = dw.clamp(max=MAX_LOG_SCALE).exp() * w
    h = dh.clamp(max=MAX_LOG_SCALE).exp() * h
    return torch.stack([x - 0.5 * w, y - 0.5 * h, x + 0.5 * w, y + 0.5 * h], dim=-1)


def clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return `boxes` (…, 4) cut at the edges of an image."""
    x0, y0, x1, y1 = boxes.unbind(-1)
    limited = [x0.clamp(0, width), y0.clamp(0, height), x1.clamp(0, width), y1.clamp(0, height)]
    return torch.stack(limited, dim=-1)


def clip_each(boxes: Tensor, sizes: list[tuple[int, int]]) -> Tensor:
    """Return the boxes (B, N, 4) of B images cut at the edges of each, `sizes` being height and width."""
    if len(set(sizes)) == 1:
        return clip(boxes, *sizes[0])
    edges = torch.tensor([[width, height, width, height] for height, width in sizes], dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), upload(edges, boxes.device)[:, None])


def has_area(boxes: Tensor) -> Tensor:
    """Return which `boxes` (N, 4) are finite and not empty: (N,) bool."""
    return boxes.isfinite().all(-1) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def rescale(boxes: Tensor, source: tuple[int, int], target: tuple[int, int]) -> Tensor:
    """Return `boxes` (…, 4) of an image of size `source` (height, width) in the same image resized to `target`."""
    y, x = target[0] / source[0], target[1] / source[1]
    return boxes * boxes.new_tensor([x, y, x, y])
