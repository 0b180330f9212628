"""Heads placed in the image: against torch's own interpolation of every channel, rounding, clipping, strips."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from densepose_extract.engines import placing
from densepose_extract.engines.placing import (
    integer_box,
    iuv_map,
    paste,
    place_map,
    place_maps,
    place_together,
    resample,
)
from densepose_extract.engines.uv_probability import uv_probability


@dataclass
class Heads:
    """Raw heads with boxes, as an engine returns them."""

    coarse_segm: Tensor
    fine_segm: Tensor
    u: Tensor
    v: Tensor
    boxes: Tensor
    sigma_2: Tensor | None = None
    kappa_u: Tensor | None = None
    kappa_v: Tensor | None = None


def random_heads(seed: int = 0, side: int = 112, count: int = 2, variances: int = 0) -> Heads:
    """Return smooth random heads, u and v partly outside [0, 1]; `variances` is how many heads state them, 0 to 3."""
    generator = torch.Generator().manual_seed(seed)

    def smooth(channels: int) -> Tensor:
        coarse = torch.randn((count, channels, 7, 7), generator=generator)
        return F.interpolate(coarse, (side, side), mode="bilinear")

    heads = (smooth(2), smooth(25), smooth(25) + 0.5, smooth(25) + 0.5, torch.zeros((count, 4)))
    # Raw values around -3.5 are variances around 0.04, where the probabilities differ most.
    return Heads(*heads, *[smooth(25) - 3.5, smooth(25) / 5, smooth(25) / 5][:variances])


def flat(chart: int, u: float, v: float, box: list[float]) -> Heads:
    """Return the heads of one box that is all one chart, with the same u and v everywhere."""
    fine = torch.zeros((1, 25, 4, 4))
    fine[:, chart] = 1
    coarse = torch.tensor([0.0, 1.0])[None, :, None, None].expand(1, 2, 4, 4)
    return Heads(coarse, fine, torch.full_like(fine, u), torch.full_like(fine, v), torch.tensor([box]))


def slow_resample(heads: Heads, k: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Resize every channel of every head with torch, then pick the label's."""

    def resized(maps: Tensor) -> Tensor:
        return F.interpolate(maps[k : k + 1], (height, width), mode="bilinear", align_corners=False)[0]

    body = resized(heads.coarse_segm).argmax(0) > 0
    labels = torch.where(body, resized(heads.fine_segm).argmax(0), 0)
    uv = torch.stack([resized(maps).gather(0, labels[None])[0] for maps in (heads.u, heads.v)])
    return labels, torch.where(labels > 0, uv, 0.0)


@given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_resampling_is_torchs_interpolation_of_every_channel(height: int, width: int, seed: int) -> None:
    heads = random_heads(seed)
    labels, uv = resample(heads, 1, height, width)
    want, want_uv = slow_resample(heads, 1, height, width)
    same = labels == want
    assert float((~same).float().mean()) <= 1e-3  # ties but for rounding
    torch.testing.assert_close(uv[:, same], want_uv[:, same], atol=1e-4, rtol=0)


def test_rows_computed_alone_are_rows_of_the_whole() -> None:
    heads = random_heads()
    labels, uv = resample(heads, 0, 50, 30)
    some, some_uv = resample(heads, 0, 50, 30, 17, 23)
    assert torch.equal(some, labels[17:23])
    assert torch.equal(some_uv, uv[:, 17:23])


def test_a_large_box_is_resampled_in_strips_of_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, box = random_heads(), torch.tensor([3.0, 5.0, 90.0, 170.0])
    want = place_map(heads, 0, box, 180, 100)
    seen, real = [], placing._resample

    def watched(*args: int) -> tuple[Tensor, Tensor, Tensor | None]:
        result = real(*args)  # type: ignore[arg-type]
        seen.append(result[0].numel())
        return result

    monkeypatch.setattr(placing, "STRIP", 1000)
    monkeypatch.setattr(placing, "_resample", watched)
    assert np.array_equal(place_map(heads, 0, box, 180, 100), want)
    assert len(seen) > 10
    assert max(seen) <= 1000


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_maps_of_many_images_together_are_those_of_each(seed: int) -> None:
    """Boxes partly outside, images of several sizes, in 8 and 16 bits; a label may differ where two are equal."""
    rng = np.random.default_rng(seed)
    heads = random_heads(seed, side=28, count=3)
    sizes = [(40, 20), (33, 27), (40, 20)]
    corners = rng.uniform(-10, 30, (3, 2))
    boxes = torch.from_numpy(np.hstack([corners, corners + rng.uniform(0, 60, (3, 2))]).astype(np.float32))
    fine = [[np.zeros((*size, 2), np.uint16) if n else None for n, size in enumerate(sizes)] for _ in range(2)]
    together = place_together(heads, boxes, sizes, fine[0])
    each = [place_map(heads, n, boxes[n], *sizes[n], fine[1][n]) for n in range(3)]
    for n, (found, want) in enumerate(zip(together, each, strict=True)):
        same = found[..., 0] == want[..., 0]
        assert found.shape == want.shape
        assert (~same).mean() <= 2e-3
        assert np.abs(found.astype(int) - want)[same].max() <= 1
        if fine[0][n] is not None:
            assert np.abs(fine[0][n].astype(int) - fine[1][n])[same].max() <= 1


def test_large_images_are_placed_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, sizes = random_heads(count=5, variances=3), [(30, 20), (25, 30), (30, 30), (8, 9), (30, 30)]
    boxes = [torch.tensor([2.0, 3.0, 15.0 + n, 29.0]) for n in range(5)]
    fine = [np.zeros((*size, 2), np.uint16) for size in sizes]
    want_fine = [np.zeros((*size, 2), np.uint16) for size in sizes]
    sure, want_sure = ([np.full(size, 255, np.uint8) for size in sizes] for _ in range(2))
    want = place_together(heads, boxes, sizes, want_fine, want_sure)
    monkeypatch.setattr(placing, "TOGETHER", 2 * 900)
    for found, expected in zip(placing.place_pieces(heads, boxes, sizes, fine, sure), want, strict=True):
        assert np.array_equal(found, expected)
    for found, expected in zip([*fine, *sure], [*want_fine, *want_sure], strict=True):
        assert np.array_equal(found, expected)


def test_a_cpu_places_image_by_image() -> None:
    """So that the bytes stay those of earlier versions."""
    heads, sizes = random_heads(count=2), [(30, 20), (25, 30)]
    boxes = [torch.tensor([2.0, 3.0, 15.0, 29.0]), torch.tensor([-4.0, 0.0, 30.0, 20.0])]
    for n, found in enumerate(place_maps(heads, boxes, sizes, [None, None])):
        assert np.array_equal(found, place_map(heads, n, boxes[n], *sizes[n]))
    assert place_maps(heads, [], [], []) == []


def test_values_are_rounded_and_clamped() -> None:
    found = iuv_map(flat(7, 0.5, 1.7, [1.0, 1.0, 3.0, 3.0]), 0, 4, 4)
    assert found.dtype == np.uint8
    assert found[1, 1].tolist() == [7, 128, 255]  # 127.5 to the even neighbour
    assert iuv_map(flat(24, 0.998, -0.2, [1.0, 1.0, 3.0, 3.0]), 0, 4, 4)[2, 2].tolist() == [24, 254, 0]
    assert found[0].any() == found[3].any() == found[:, 0].any() == found[:, 3].any() == False  # noqa: E712


def test_background_has_no_u_and_v() -> None:
    assert not iuv_map(flat(0, 0.5, 0.5, [0.0, 0.0, 4.0, 4.0]), 0, 4, 4).any()
    body_only = flat(3, 0.5, 0.5, [0.0, 0.0, 4.0, 4.0])
    body_only.coarse_segm = body_only.coarse_segm.flip(1)  # the coarse head says background
    assert not iuv_map(body_only, 0, 4, 4).any()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([1.9, 2.9, 4.8, 4.9], (1, 2, 2, 2)),  # 4.8 - 1.9 = 2.9: the width is truncated, not the right edge
        ([3.0, 3.0, 3.4, 9.0], (3, 3, 1, 6)),
        ([-1.5, 0.0, 2.0, 1.0], (-1, 0, 3, 1)),
    ],
)
def test_boxes_are_truncated_as_in_detectron2(box: list[float], expected: tuple[int, ...]) -> None:
    assert integer_box(torch.tensor(box)) == expected


@given(x=st.integers(-9, 9), y=st.integers(-9, 9), w=st.integers(1, 9), h=st.integers(1, 9), seed=st.integers(0, 99))
@settings(deadline=None)
def test_paste_drops_pixels_outside_the_image(x: int, y: int, w: int, h: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, uv = torch.from_numpy(rng.integers(1, 25, (h, w))), torch.from_numpy(rng.random((2, h, w)))
    iuv = np.zeros((6, 5, 3), np.uint8)
    paste(iuv, labels, uv, x, y)
    for row in range(6):
        for column in range(5):
            inside = 0 <= row - y < h and 0 <= column - x < w
            want = int(labels[row - y, column - x]) if inside else 0
            assert iuv[row, column, 0] == want


def slow_probability(heads: Heads, k: int, height: int, width: int) -> Tensor:
    """The softmax of both heads, resized by torch, at each pixel's label."""

    def resized(maps: Tensor) -> Tensor:
        return F.interpolate(maps[k : k + 1], (height, width), mode="bilinear", align_corners=False)[0]

    labels, _ = slow_resample(heads, k, height, width)
    stated = [resized(x) for x in (heads.sigma_2, heads.kappa_u, heads.kappa_v) if x is not None]
    body, charts = resized(heads.coarse_segm).softmax(0)[1], resized(heads.fine_segm).softmax(0)
    probability = torch.zeros(height, width)
    for y in range(height):
        for x in range(width):
            label = int(labels[y, x])
            if label:
                probability[y, x] = body[y, x] * charts[label, y, x]
                if stated:
                    probability[y, x] *= uv_probability(*(head[label, y, x] for head in stated))
            else:
                probability[y, x] = 1 - body[y, x] + body[y, x] * charts[0, y, x]
    return probability


@pytest.mark.parametrize("variances", [0, 1, 3])
def test_confidences_are_the_softmax_of_the_label_inside_the_box(
    monkeypatch: pytest.MonkeyPatch, variances: int
) -> None:
    heads, box = random_heads(3, variances=variances), torch.tensor([4.0, -3.0, 24.0, 27.0])
    sure = np.full((25, 30), 255, np.uint8)
    iuv = place_map(heads, 1, box, 25, 30, None, sure)
    assert (iuv == place_map(heads, 1, box, 25, 30)).all()
    expected = (slow_probability(heads, 1, 30, 20) * 255).round()[3:28]
    inside = sure[:25, 4:24].astype(int)
    assert np.abs(inside - expected.numpy()).max() <= 1
    assert len(np.unique(inside)) > 20
    outside = np.ones_like(sure, bool)
    outside[:25, 4:24] = False
    assert (sure[outside] == 255).all()
    in_strips = np.full_like(sure, 255)
    monkeypatch.setattr(placing, "STRIP", 40)
    place_map(heads, 1, box, 25, 30, None, in_strips)
    assert (in_strips == sure).all()


@pytest.mark.parametrize("variances", [0, 1, 3])
def test_confidences_placed_together_are_those_placed_alone(variances: int) -> None:
    heads = random_heads(5, variances=variances)
    boxes, sizes = [torch.tensor([1.0, 2.0, 14.0, 26.0]), torch.tensor([-2.0, 0.0, 9.0, 31.0])], [(28, 16), (30, 12)]
    alone = [np.full(size, 255, np.uint8) for size in sizes]
    together = [np.full(size, 255, np.uint8) for size in sizes]
    maps = place_maps(heads, boxes, sizes, [None, None], alone)
    others = place_together(heads, boxes, sizes, [None, None], together)
    for one, other, map_alone, map_together in zip(alone, together, maps, others, strict=True):
        same = (map_alone == map_together).all(axis=2)
        assert same.mean() > 0.99
        assert np.abs(one.astype(int) - other)[same].max() <= 1
