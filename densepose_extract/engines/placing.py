"""Raw DensePose heads made an IUV map of the picture: resampled into the box and written into its place."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

STRIP = 1 << 18  # pixels resampled at a time: 27 channels of them, so that a huge picture needs no huge memory


class Heads(Protocol):
    """Raw heads of D boxes, as `network.Surface` or `native.Detections` holds them."""

    @property
    def coarse_segm(self) -> Tensor: ...
    @property
    def fine_segm(self) -> Tensor: ...
    @property
    def u(self) -> Tensor: ...
    @property
    def v(self) -> Tensor: ...


class BoxedHeads(Heads, Protocol):
    """Raw heads with their boxes (D, 4)."""

    @property
    def boxes(self) -> Tensor: ...


def iuv_map(result: BoxedHeads, k: int, height: int, width: int) -> np.ndarray:
    """Return the IUV map, uint8 (height, width, 3), of the `k`-th box of `result` in its picture."""
    return place(result, k, result.boxes[k], height, width)


def place(heads: Heads, k: int, box: Tensor, height: int, width: int) -> np.ndarray:
    """Write the `k`-th of `heads` at `box` (4,) XYXY into an empty picture: uint8 (height, width, 3) I, U, V.

    As detectron2: x, y, w, h are cut to integers, w and h at least 1; what lies outside is left away. U and V
    are round(255 · value), clamped, and 0 where I is 0 (docs/design/contracts.md).
    """
    x, y, w, h = whole(box)
    iuv = np.zeros((height, width, 3), np.uint8)
    rows = max(1, STRIP // w)
    for top in range(0, h, rows):
        labels, uv = resample(heads, k, h, w, top, min(top + rows, h))
        paste(iuv, labels, uv, x, y + top)
    return iuv


def paste(iuv: np.ndarray, labels: Tensor, uv: Tensor, x: int, y: int) -> None:
    """Write `labels` (r, c) and `uv` (2, r, c) into `iuv`, their first pixel at column `x` and row `y`.

    What lies outside the picture is left away.
    """
    pixels = torch.cat([labels[None], (uv.clamp(0, 1) * 255).round()]).to(torch.uint8)  # (3, r, c)
    patch = pixels.permute(1, 2, 0).cpu().numpy()[max(0, -y) :, max(0, -x) :]
    place = iuv[max(0, y) :, max(0, x) :][: patch.shape[0], : patch.shape[1]]
    place[:] = patch[: place.shape[0], : place.shape[1]]


def whole(box: Tensor) -> tuple[int, int, int, int]:
    """Return x, y, w, h of a box XYXY, each cut to an integer, w and h at least 1."""
    x0, y0, x1, y1 = box
    x, y, w, h = torch.stack([x0, y0, x1 - x0, y1 - y0]).long().tolist()
    return x, y, max(w, 1), max(h, 1)


def resample(
    heads: Heads, k: int, height: int, width: int, top: int = 0, bottom: int | None = None
) -> tuple[Tensor, Tensor]:
    """Resample the `k`-th of `heads` to `height` × `width`, bilinearly, corners not aligned.

    Only rows `top` to `bottom` are computed, r in all. The label is the best of the fine heads where the
    coarse heads say body; u and v are those of the label, not clamped.

    Returns:
        Labels, int64 (r, width) in 0 .. 24, and u, v, float32 (2, r, width), 0 where the label is 0.
    """
    side = heads.fine_segm.shape[-1]
    device = heads.fine_segm.device
    rows = Taps(height, side, device, top, height if bottom is None else bottom)
    columns = Taps(width, side, device)
    body = stretched(heads.coarse_segm[k], rows, columns).argmax(0) > 0
    labels = stretched(heads.fine_segm[k], rows, columns).argmax(0) * body
    uv = torch.stack([picked(heads.u[k], labels, rows, columns), picked(heads.v[k], labels, rows, columns)])
    return labels, uv * (labels > 0)


class Taps:
    """For each of `size` places along an axis, the two samples out of `source` that it lies between.

    Attributes:
        low, high: int64 (n,), indices of the samples.
        share: float32 (n,), the weight of `high`.
    """

    def __init__(self, size: int, source: int, device: torch.device, start: int = 0, stop: int | None = None) -> None:
        place = torch.arange(start, size if stop is None else stop, device=device, dtype=torch.float32)
        where = ((place + 0.5) * (source / size) - 0.5).clamp(min=0)  # centres on centres
        self.low = where.long().clamp(max=source - 1)
        self.high = (self.low + 1).clamp(max=source - 1)
        self.share = where - self.low


def stretched(maps: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Interpolate (C, S, S) at rows × columns: (C, r, c)."""
    x = torch.lerp(maps[:, rows.low], maps[:, rows.high], rows.share[:, None])  # (C, r, S)
    return torch.lerp(x[:, :, columns.low], x[:, :, columns.high], columns.share)


def picked(maps: Tensor, labels: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Interpolate (C, S, S) at rows × columns in the one channel that `labels` (r, c) names: (r, c)."""
    low, high = rows.low[:, None], rows.high[:, None]
    left = torch.lerp(maps[labels, low, columns.low], maps[labels, high, columns.low], rows.share[:, None])
    right = torch.lerp(maps[labels, low, columns.high], maps[labels, high, columns.high], rows.share[:, None])
    return torch.lerp(left, right, columns.share)
