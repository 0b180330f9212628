"""Sizes and batches: detectron2's rule, nothing empty, nothing lost, nothing beyond the memory of a batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from densepose_extract.engines.sizing import (
    CROP_PIXELS,
    as_read,
    batches,
    check_image,
    network_input,
    padded_size,
    resized_here,
    resized_size,
)
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
    assert resized_size(*size, 256, 1333) == expected


@given(height=SIDES, width=SIDES, min_size=st.integers(32, 900), max_size=st.integers(32, 1400))
def test_resized_stays_within_its_limits(height: int, width: int, min_size: int, max_size: int) -> None:
    h, w = resized_size(height, width, min_size, max_size)
    assert 1 <= min(h, w) <= min_size
    assert max(h, w) <= max(min_size, max_size)
    assert (h - w) * (height - width) >= 0


@given(sizes=st.lists(st.tuples(SIDES, SIDES), max_size=40), batch=st.integers(1, 9))
def test_batches_hold_every_image_once_with_its_own_padding(sizes: list[tuple[int, int]], batch: int) -> None:
    result = batches(sizes, 256, 1333, batch)
    assert sorted(index for indices in result for index in indices) == list(range(len(sizes)))
    for indices in result:
        paddings = {padded_size(*resized_size(*sizes[index], 256, 1333)) for index in indices}
        assert len(paddings) == 1
        height, width = paddings.pop()
        assert len(indices) <= batch
        assert len(indices) == 1 or len(indices) * height * width <= batch * CROP_PIXELS
    assert result == batches(list(sizes), 256, 1333, batch)


def test_network_input_is_bgr_less_the_mean_and_zero_in_the_padding() -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20, 10, 3), dtype=np.uint8), rng.integers(0, 256, (7, 40, 3), dtype=np.uint8)]
    sizes = [(64, 33), (30, 50)]
    x = network_input(images, sizes, torch.device("cpu"))
    assert x.shape == (2, 3, 64, 64)
    assert x.dtype == torch.float32
    for row, image, (h, w) in zip(x, images, sizes, strict=True):
        resized = np.asarray(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR), np.float32)
        want = resized[:, :, ::-1] - np.array([103.53, 116.28, 123.675], np.float32)
        np.testing.assert_allclose(row[:, :h, :w].permute(1, 2, 0), want, atol=1e-4)
        assert not row[:, h:].any()
        assert not row[:, :, w:].any()


GROWN = st.tuples(st.integers(1, 60), st.integers(1, 60), st.integers(0, 90), st.integers(0, 90))


@given(each=st.lists(GROWN, min_size=1, max_size=4), seed=st.integers(0, 9))
def test_a_device_enlarges_to_pillows_bytes(each: list[tuple[int, int, int, int]], seed: int) -> None:
    """The same on a GPU, whose integers add up to the same: tests/gpu/test_extraction.py."""
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w, _, _ in each]
    sizes = [(h + more, w + wider) for h, w, more, wider in each]
    ours, pillows = (make(images, sizes).on(torch.device("cpu")) for make in (as_read, resized_here))
    assert torch.equal(ours, pillows)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3), np.float32),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image: np.ndarray) -> None:
    with pytest.raises(ImageError, match=r"uint8 \(H, W, 3\) RGB, got"):
        check_image(image)
