"""Sizes and batches: detectron2's rule, nothing empty, nothing lost, nothing beyond the memory of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from densepose_extract.engines.sizing import CROP, batches, check, padded, pixels, resized
from dsa_app.errors import ImageError

SIDES = st.integers(1, 10_000)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((128, 64), (512, 256)),
        ((160, 60), (683, 256)),
        ((64, 128), (256, 512)),
        ((100, 1000), (133, 1333)),  # the longest side limits
        ((1, 1), (256, 256)),
        ((1, 10_000), (1, 1333)),  # would be 0 rows
        ((10_000, 10_000), (256, 256)),
    ],
)
def test_resized_by_hand(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert resized(*size, 256, 1333) == expected


@given(height=SIDES, width=SIDES, min_size=st.integers(32, 900), max_size=st.integers(32, 1400))
def test_resized_stays_within_its_limits(height: int, width: int, min_size: int, max_size: int) -> None:
    h, w = resized(height, width, min_size, max_size)
    assert 1 <= min(h, w) <= min_size
    assert max(h, w) <= max(min_size, max_size)
    assert (h - w) * (height - width) >= 0


@given(sizes=st.lists(st.tuples(SIDES, SIDES), max_size=40), batch=st.integers(1, 9))
def test_batches_hold_every_picture_once_with_its_own_padding(sizes: list[tuple[int, int]], batch: int) -> None:
    units = batches(sizes, 256, 1333, batch)
    assert sorted(index for unit in units for index in unit) == list(range(len(sizes)))
    for unit in units:
        paddings = {padded(*resized(*sizes[index], 256, 1333)) for index in unit}
        assert len(paddings) == 1
        height, width = paddings.pop()
        assert len(unit) <= batch
        assert len(unit) == 1 or len(unit) * height * width <= batch * CROP
    assert units == batches(list(sizes), 256, 1333, batch)


def test_pixels_are_bgr_less_the_mean_and_zero_in_the_padding() -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (20, 10, 3), dtype=np.uint8), rng.integers(0, 256, (7, 40, 3), dtype=np.uint8)]
    sizes = [(64, 33), (30, 50)]
    found = pixels(pictures, sizes, "cpu")
    assert found.shape == (2, 3, 64, 64)
    assert found.dtype == torch.float32
    for row, picture, (h, w) in zip(found, pictures, sizes, strict=True):
        small = np.asarray(Image.fromarray(picture).resize((w, h), Image.Resampling.BILINEAR), np.float32)
        want = small[:, :, ::-1] - np.array([103.53, 116.28, 123.675], np.float32)
        np.testing.assert_allclose(row[:, :h, :w].permute(1, 2, 0), want, atol=1e-4)
        assert not row[:, h:].any()
        assert not row[:, :, w:].any()


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"uint8 \(H, W, 3\) RGB, got"):
        check(picture)
