"""Coarse parts: an example by hand, a slow loop, and properties of all maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import ImageError
from dsap.coarse import crop
from dsap_cases import pairs


def slow_crop(image: np.ndarray, iuv: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Crop each chart's bounding box, stretch it over S×S, and drop pixels of other charts."""
    texels, valid = np.zeros((24, size, size, 3), np.uint8), np.zeros((24, size, size), bool)
    for chart in range(1, 25):
        ys, xs = np.where(iuv[..., 0] == chart)
        if len(ys) == 0:
            continue
        top, left = ys.min(), xs.min()
        height, width = ys.max() + 1 - top, xs.max() + 1 - left
        for row in range(size):
            for column in range(size):
                y, x = int(top + (row + 0.5) * height / size), int(left + (column + 0.5) * width / size)
                if iuv[y, x, 0] == chart:
                    texels[chart - 1, row, column] = image[y, x]
                    valid[chart - 1, row, column] = True
    return texels, valid


def test_by_hand() -> None:
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    iuv = np.zeros((4, 4, 3), np.uint8)
    iuv[1:3, 1:3, 0] = [[2, 2], [0, 2]]  # three pixels; their box is rows and columns 1 to 2
    texels, valid = crop(image, iuv, size=4)
    assert np.argwhere(~valid[1]).tolist() == [[2, 0], [2, 1], [3, 0], [3, 1]]
    assert valid.sum() == 12
    assert (texels[1, :2, :2] == image[1, 1]).all()
    assert (texels[1, 2:, 2:] == image[2, 2]).all()
    assert (texels[1, 2:, :2] == 0).all()


@settings(max_examples=60, deadline=None)
@given(pair=pairs(), size=st.sampled_from([2, 3, 4, 8, 16]))  # the loop's quotients are exact enough at these
def test_equals_the_loop(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    texels, valid = crop(image, iuv, size)
    expected, reached = slow_crop(image, iuv, size)
    assert (texels == expected).all()
    assert (valid == reached).all()
    assert (texels.dtype, valid.dtype) == (np.uint8, bool)


@settings(max_examples=30, deadline=None)
@given(pair=pairs(), size=st.integers(2, 40))
def test_coordinates_do_not_matter(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    plain = iuv * np.array([1, 0, 0], np.uint8)
    assert (crop(image, plain, size)[0] == crop(image, iuv, size)[0]).all()


@settings(max_examples=30, deadline=None)
@given(pair=pairs(), size=st.integers(12, 40))
def test_large_enough_it_keeps_every_pixel(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    texels, valid = crop(image, iuv, size)
    for chart in range(1, 25):
        kept = {tuple(colour) for colour in texels[chart - 1][valid[chart - 1]]}
        assert kept == {tuple(colour) for colour in image[iuv[..., 0] == chart]}


def test_refuses_another_size() -> None:
    with pytest.raises(ImageError, match="3x4"):
        crop(np.zeros((4, 3, 3), np.uint8), np.zeros((4, 4, 3), np.uint8))
