"""From raw DensePose heads to the I, U, V map of an image: resampled to the box and written where the box is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from dsa_data.stores.iuv import refine
from dsa_reid.upload import upload

from .uv_probability import uv_probability

TOGETHER = 1 << 21  # pixels of a batch that are resampled together: 27 channels of them are 216 MiB
STRIP = 1 << 18  # pixels resampled at a time: 27 channels of them, so that a huge image needs no huge memory


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
    @property
    def sigma_2(self) -> Tensor | None: ...
    @property
    def kappa_u(self) -> Tensor | None: ...
    @property
    def kappa_v(self) -> Tensor | None: ...


class BoxedHeads(Heads, Protocol):
    """Raw heads with their boxes (D, 4)."""

    @property
    def boxes(self) -> Tensor: ...


def iuv_map(result: BoxedHeads, index: int, height: int, width: int) -> np.ndarray:
    """Return the map, uint8 (height, width, 3), of one box of `result` in its image."""
    return place_map(result, index, result.boxes[index], height, width)


def place_map(
    heads: Heads,
    index: int,
    box: Tensor,
    height: int,
    width: int,
    fine: np.ndarray | None = None,
    sure: np.ndarray | None = None,
) -> np.ndarray:
    """Return the map of an image, uint8 (height, width, 3) I, U, V, with one of `heads` at `box` (4,) XYXY.

    As in detectron2, x, y, w, h of the box are truncated to integers, w and h at least 1, and pixels outside the image
    are dropped. U and V are round(255 · value), clamped, and 0 where I is 0 (docs/design/contracts.md).

    Args:
        fine: uint16 (height, width, 2) of 0, to be filled with U and V in 16 bits; None for 8 bits only.
        sure: uint8 (height, width), to be filled inside the box with round(255 p), see `label_probability`; None for
            none.
    """
    x, y, w, h = integer_box(box)
    iuv = np.zeros((height, width, 3), np.uint8)
    # Row by row a resampled strip equals the same rows of the whole box, so that strips only bound the memory.
    rows = max(1, STRIP // w)
    for top in range(0, h, rows):
        labels, uv, probability = _resample(heads, index, h, w, top, min(top + rows, h), sure is not None)
        paste(iuv, labels, uv, x, y + top, fine)
        if sure is not None and probability is not None:
            paste_patch(sure, as_bytes(probability).cpu().numpy(), x, y + top)
    return iuv


def place_maps(
    heads: Heads,
    boxes: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    fine: Sequence[np.ndarray | None],
    sure: Sequence[np.ndarray | None] | None = None,
) -> list[np.ndarray]:
    """Return the maps of images, as `place_map` does, head n being that of image n.

    On a GPU all of them are resampled together and copied back in one go, or a few at a time if they are large.

    Args:
        boxes: (4,) XYXY on the CPU, one an image.
        sizes: height and width of each image.
        fine, sure: see `place_map`, one an image; `sure` may be None for none.
    """
    sure = sure or [None] * len(boxes)
    largest = max((h for h, _ in sizes), default=0) * max((w for _, w in sizes), default=0)
    if heads.fine_segm.is_cuda and largest <= TOGETHER:
        return place_pieces(heads, boxes, sizes, fine, sure)
    return [
        place_map(heads, n, box, *size, *of_image)
        for n, (box, size, *of_image) in enumerate(zip(boxes, sizes, fine, sure, strict=True))
    ]


def place_pieces(
    heads: Heads,
    boxes: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    fine: Sequence[np.ndarray | None],
    sure: Sequence[np.ndarray | None],
) -> list[np.ndarray]:
    """Return what `place_maps` returns, with at most `TOGETHER` pixels resampled together."""
    maps = []
    largest = max((h for h, _ in sizes), default=0) * max((w for _, w in sizes), default=0)
    count = max(1, TOGETHER // max(1, largest))
    for start in range(0, len(boxes), count):
        piece = slice(start, start + count)
        maps += place_together(_Piece.of(heads, piece), boxes[piece], sizes[piece], fine[piece], sure[piece])
    return maps


@dataclass(frozen=True)
class _Piece:
    """The heads of some of the boxes."""

    coarse_segm: Tensor
    fine_segm: Tensor
    u: Tensor
    v: Tensor
    sigma_2: Tensor | None = None
    kappa_u: Tensor | None = None
    kappa_v: Tensor | None = None

    @classmethod
    def of(cls, heads: Heads, piece: slice) -> _Piece:
        stated = (x if x is None else x[piece] for x in (heads.sigma_2, heads.kappa_u, heads.kappa_v))
        return cls(heads.coarse_segm[piece], heads.fine_segm[piece], heads.u[piece], heads.v[piece], *stated)


def place_together(
    heads: Heads,
    boxes: Sequence[Tensor],
    sizes: Sequence[tuple[int, int]],
    fine: Sequence[np.ndarray | None],
    sure: Sequence[np.ndarray | None] = (),
) -> list[np.ndarray]:
    """Return what `place_maps` returns, resampled for every pixel of all images together."""
    device, side = heads.fine_segm.device, heads.fine_segm.shape[-1]
    whole = upload(torch.tensor([integer_box(box) for box in boxes]), device)  # (B, 4): x, y, w, h
    rows = BatchTaps(max(h for h, _ in sizes), whole[:, 1], whole[:, 3], side)
    columns = BatchTaps(max(w for _, w in sizes), whole[:, 0], whole[:, 2], side)
    coarse = interpolate_batch(heads.coarse_segm, rows, columns)  # (B, 2, H, W)
    inside = rows.inside[:, :, None] & columns.inside[:, None]
    charts = interpolate_batch(heads.fine_segm, rows, columns)  # (B, 25, H, W)
    labels = charts.argmax(1) * ((coarse.argmax(1) > 0) & inside)  # (B, H, W)
    u, v = (interpolate_batch_label(maps, labels, rows, columns) for maps in (heads.u, heads.v))
    uv = (torch.stack([u, v], dim=-1) * (labels > 0)[..., None]).clamp(0, 1)  # (B, H, W, 2)
    maps = torch.cat([labels[..., None], (uv * 255).round()], dim=-1).to(torch.uint8).cpu().numpy()
    if any(of_image is not None for of_image in fine):
        exact = uv.float().cpu().numpy()
        for n, (of_image, (h, w)) in enumerate(zip(fine, sizes, strict=True)):
            if of_image is not None:
                of_image[:] = refine(maps[n, :h, :w, 0], exact[n, :h, :w, 0], exact[n, :h, :w, 1])
    if sure and any(of_image is not None for of_image in sure):
        # Outside the box the array stays as the caller has filled it.
        of_uv = _uv_probability(heads, lambda x: interpolate_batch_label(x, labels, rows, columns))
        stated = as_bytes(label_probability(coarse, charts, labels, of_uv)).cpu().numpy()
        in_box = inside.cpu().numpy()
        for n, (of_image, (h, w)) in enumerate(zip(sure, sizes, strict=True)):
            if of_image is not None:
                np.copyto(of_image, stated[n, :h, :w], where=in_box[n, :h, :w])
    return [maps[n, :h, :w].copy() for n, (h, w) in enumerate(sizes)]


def paste(iuv: np.ndarray, labels: Tensor, uv: Tensor, x: int, y: int, fine: np.ndarray | None = None) -> None:
    """Write `labels` (r, c) and `uv` (2, r, c) into `iuv`, in place, their first pixel at column `x` and row `y`.

    Pixels outside the image are dropped. `fine`, see `place_map`, is filled in the same way.
    """
    pixels = torch.cat([labels[None], (uv.clamp(0, 1) * 255).round()]).to(torch.uint8)  # (3, r, c)
    paste_patch(iuv, pixels.permute(1, 2, 0).cpu().numpy(), x, y)
    if fine is not None:
        u, v = uv.clamp(0, 1).float().cpu().numpy()
        paste_patch(fine, refine(labels.cpu().numpy(), u, v), x, y)


def paste_patch(target: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
    """Copy `patch` (r, c, …) into `target` (H, W, …) at column `x` and row `y`, without what is outside."""
    # Negative x and y cut off the patch's first columns and rows; the image's edge cuts off its last ones.
    patch = patch[max(0, -y) :, max(0, -x) :]
    target = target[max(0, y) :, max(0, x) :][: patch.shape[0], : patch.shape[1]]
    target[:] = patch[: target.shape[0], : target.shape[1]]


def integer_box(box: Tensor) -> tuple[int, int, int, int]:
    """Return x, y, w, h of a box XYXY, each truncated to an integer, w and h at least 1.

    Width and height are truncated, not the right and lower edge: this is how detectron2 does it.
    """
    x0, y0, x1, y1 = box
    x, y, w, h = torch.stack([x0, y0, x1 - x0, y1 - y0]).long().tolist()
    return x, y, max(w, 1), max(h, 1)


def resample(
    heads: Heads, index: int, height: int, width: int, top: int = 0, bottom: int | None = None
) -> tuple[Tensor, Tensor]:
    """Resample one of `heads` to `height` × `width`, bilinearly, corners not aligned.

    Only rows `top` to `bottom` are computed, r in all. The label is the largest of the fine heads where the coarse
    heads say body; u and v are those of the label, not clamped.

    Returns:
        Labels, int64 (r, width) in 0 .. 24, and u, v, float32 (2, r, width), 0 where the label is 0.
    """
    return _resample(heads, index, height, width, top, bottom)[:2]


def _resample(
    heads: Heads, index: int, height: int, width: int, top: int = 0, bottom: int | None = None, sure: bool = False
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return what `resample` returns, and if `sure` the probability of each label, float32 (r, width)."""
    side = heads.fine_segm.shape[-1]
    device = heads.fine_segm.device
    rows = Taps(height, side, device, top, height if bottom is None else bottom)
    columns = Taps(width, side, device)
    # Labels are compared after interpolation, not before: their borders then run between the heads' cells.
    coarse = interpolate(heads.coarse_segm[index], rows, columns)  # (2, r, width)
    charts = interpolate(heads.fine_segm[index], rows, columns)  # (25, r, width)
    labels = charts.argmax(0) * (coarse.argmax(0) > 0)
    u, v = (interpolate_label(maps[index], labels, rows, columns) for maps in (heads.u, heads.v))
    probability = None
    if sure:
        of_uv = _uv_probability(heads, lambda x: interpolate_label(x[index], labels, rows, columns))
        probability = label_probability(coarse, charts, labels, of_uv)
    return labels, torch.stack([u, v]) * (labels > 0), probability


def _uv_probability(heads: Heads, at_label: Callable[[Tensor], Tensor]) -> Tensor | None:
    """Return `uv_probability` of the variances at each pixel's label; None if the heads have no variances."""
    if heads.sigma_2 is None:
        return None
    correlated = (x if x is None else at_label(x) for x in (heads.kappa_u, heads.kappa_v))
    return uv_probability(at_label(heads.sigma_2), *correlated)


def label_probability(coarse: Tensor, charts: Tensor, labels: Tensor, of_uv: Tensor | None = None) -> Tensor:
    """Return the probability that each pixel is right by the network's own statement, float32 (…, h, w).

    That of a chart is P(body) P(chart), the softmax of the coarse and the fine heads, times P(u, v) where the network
    states one. That of the background is 1 - P(body) (1 - P(background by the fine heads)).

    Args:
        coarse: logits (…, 2, h, w): background, body.
        charts: logits (…, 25, h, w).
        labels: int64 (…, h, w), 0 .. 24.
        of_uv: (…, h, w), probability that u and v of the label are right; None if the network states none.
    """
    body = 1 - coarse.float().softmax(-3).select(-3, 0)
    of_label = charts.float().softmax(-3).gather(-3, labels.unsqueeze(-3)).squeeze(-3)
    of_body = body * of_label if of_uv is None else body * of_label * of_uv
    return torch.where(labels > 0, of_body, 1 - body * (1 - of_label))


def as_bytes(probability: Tensor) -> Tensor:
    """Return round(255 p), uint8, of probabilities p."""
    return (probability.clamp(0, 1) * 255).round().to(torch.uint8)


class Taps:
    """For each of `size` pixels along an axis, the two samples out of `source` that it lies between.

    Attributes:
        low, high: int64 (n,), indices of the samples.
        share: float32 (n,), the weight of `high`.
    """

    def __init__(self, size: int, source: int, device: torch.device, start: int = 0, stop: int | None = None) -> None:
        pixel = torch.arange(start, size if stop is None else stop, device=device, dtype=torch.float32)
        position = ((pixel + 0.5) * (source / size) - 0.5).clamp(min=0)  # pixel centres, in units of the samples
        self.low = position.long().clamp(max=source - 1)
        self.high = (self.low + 1).clamp(max=source - 1)
        self.share = position - self.low


def interpolate(maps: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Interpolate (C, S, S) at rows × columns: (C, r, c)."""
    x = torch.lerp(maps[:, rows.low], maps[:, rows.high], rows.share[:, None])  # (C, r, S)
    return torch.lerp(x[:, :, columns.low], x[:, :, columns.high], columns.share)  # (C, r, c)


def interpolate_label(maps: Tensor, labels: Tensor, rows: Taps, columns: Taps) -> Tensor:
    """Interpolate (C, S, S) at rows × columns, at each pixel in the channel that `labels` (r, c) names: (r, c).

    One of the 25 channels is needed at each pixel, so that the other 24 are not computed.
    """
    low, high = rows.low[:, None], rows.high[:, None]
    left = torch.lerp(maps[labels, low, columns.low], maps[labels, high, columns.low], rows.share[:, None])
    right = torch.lerp(maps[labels, low, columns.high], maps[labels, high, columns.high], rows.share[:, None])
    return torch.lerp(left, right, columns.share)


class BatchTaps:
    """`Taps` along one axis of B images, whose boxes begin at `start` (B,) and are `length` (B,) pixels long.

    Attributes:
        low, high: int64 (B, n), for each of the n pixels of an image.
        share: float32 (B, n).
        inside: bool (B, n), whether a pixel is in the box.
    """

    def __init__(self, size: int, start: Tensor, length: Tensor, source: int) -> None:
        pixel = torch.arange(size, device=start.device) - start[:, None]  # (B, n), from the box's first one
        self.inside = (pixel >= 0) & (pixel < length[:, None])
        scale = (source / length.double()).float()[:, None]
        position = ((pixel.float() + 0.5) * scale - 0.5).clamp(min=0, max=source - 1)
        self.low = position.long()
        self.high = (self.low + 1).clamp(max=source - 1)
        self.share = position - self.low


def interpolate_batch(maps: Tensor, rows: BatchTaps, columns: BatchTaps) -> Tensor:
    """Interpolate (B, C, S, S) at the rows × columns of each image: (B, C, H, W)."""
    _, C, _, S = maps.shape
    of_rows = [index[:, None, :, None].expand(-1, C, -1, S) for index in (rows.low, rows.high)]
    x = torch.lerp(maps.gather(2, of_rows[0]), maps.gather(2, of_rows[1]), rows.share[:, None, :, None])
    of_columns = [index[:, None, None].expand(-1, C, x.shape[2], -1) for index in (columns.low, columns.high)]
    return torch.lerp(x.gather(3, of_columns[0]), x.gather(3, of_columns[1]), columns.share[:, None, None])


def interpolate_batch_label(maps: Tensor, labels: Tensor, rows: BatchTaps, columns: BatchTaps) -> Tensor:
    """Interpolate (B, C, S, S) in the channel that `labels` (B, H, W) names at each pixel: (B, H, W)."""
    image = torch.arange(len(maps), device=maps.device)[:, None, None]
    low, high = rows.low[:, :, None], rows.high[:, :, None]
    left_index, right_index = columns.low[:, None], columns.high[:, None]
    share = rows.share[:, :, None]
    left = torch.lerp(maps[image, labels, low, left_index], maps[image, labels, high, left_index], share)
    right = torch.lerp(maps[image, labels, low, right_index], maps[image, labels, high, right_index], share)
    return torch.lerp(left, right, columns.share[:, None])
