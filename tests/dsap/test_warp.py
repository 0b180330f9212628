"""The warp: an example by hand, the paper's sentence as a slow loop, and properties of all maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import ConfigError, ImageError
from dsap.warp import warp
from dsap_cases import pairs

SIZES = st.one_of(st.integers(2, 16), st.sampled_from([24, 32, 33, 64]))


def slow_warp(image: np.ndarray, iuv: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Each body pixel is copied to row floor(u*S), column floor(v*S) of its chart; later pixels overwrite."""
    texels, valid = np.zeros((24, size, size, 3), np.uint8), np.zeros((24, size, size), bool)
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            chart, u, v = (int(value) for value in iuv[y, x])
            if chart > 0:
                row, column = min(u * size // 255, size - 1), min(v * size // 255, size - 1)
                texels[chart - 1, row, column] = image[y, x]
                valid[chart - 1, row, column] = True
    return texels, valid


def slow_mean(image: np.ndarray, iuv: np.ndarray, size: int) -> np.ndarray:
    """The mean of all pixels of each texel, half rounded up."""
    landed: dict[tuple[int, int, int], list[np.ndarray]] = {}
    for y in range(image.shape[0]):
        for x in range(image.shape[1]):
            chart, u, v = (int(value) for value in iuv[y, x])
            if chart > 0:
                texel = chart - 1, min(u * size // 255, size - 1), min(v * size // 255, size - 1)
                landed.setdefault(texel, []).append(image[y, x].astype(float))
    texels = np.zeros((24, size, size, 3), np.uint8)
    for texel, colours in landed.items():
        texels[texel] = np.floor(np.mean(colours, axis=0) + 0.5)
    return texels


def test_by_hand() -> None:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    iuv = np.array(
        [
            [[0, 0, 0], [1, 0, 0], [1, 127, 128]],  # background; top left of the torso's back; 0.99 rows, 1.004 columns
            [[1, 100, 100], [24, 255, 0], [24, 254, 255]],  # over the first; both ends of the scale
        ],
        np.uint8,
    )
    texels, valid = warp(image, iuv, size=2)
    assert valid.sum() == 4
    assert texels[0, 0, 0].tolist() == [9, 10, 11]  # the later of the two in row-major order
    assert texels[0, 0, 1].tolist() == [6, 7, 8]
    assert texels[23, 1, 0].tolist() == [12, 13, 14]
    assert texels[23, 1, 1].tolist() == [15, 16, 17]
    assert texels.sum() == (9 + 10 + 11) + (6 + 7 + 8) + (12 + 13 + 14) + (15 + 16 + 17)


@pytest.mark.parametrize(("byte", "row"), [(0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (247, 30), (248, 31), (255, 31)])
def test_rows_are_u_and_columns_v(byte: int, row: int) -> None:
    image = np.full((1, 1, 3), 200, np.uint8)
    _, by_u = warp(image, np.array([[[5, byte, 0]]], np.uint8))
    _, by_v = warp(image, np.array([[[5, 0, byte]]], np.uint8))
    assert np.argwhere(by_u).tolist() == [[4, row, 0]]
    assert np.argwhere(by_v).tolist() == [[4, 0, row]]


@settings(max_examples=150, deadline=None)
@given(pair=pairs(), size=SIZES)
def test_equals_the_loop(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    texels, valid = warp(image, iuv, size)
    expected, reached = slow_warp(image, iuv, size)
    assert (texels == expected).all()
    assert (valid == reached).all()
    assert (texels.dtype, valid.dtype) == (np.uint8, bool)


@settings(max_examples=60, deadline=None)
@given(pair=pairs(), size=SIZES)
def test_mean_equals_the_loop(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    texels, valid = warp(image, iuv, size, collision="mean")
    assert (texels == slow_mean(image, iuv, size)).all()
    assert (valid == warp(image, iuv, size)[1]).all()


def test_an_image_of_market1501s_size() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)
    iuv = rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)
    iuv[..., 0] = rng.integers(0, 25, (128, 64))
    for size in (2, 32, 255, 256):
        texels, valid = warp(image, iuv, size)
        expected, reached = slow_warp(image, iuv, size)
        assert (texels == expected).all()
        assert (valid == reached).all()


@settings(max_examples=50, deadline=None)
@given(pair=pairs(), size=SIZES)
def test_the_background_does_not_matter(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    other = np.where(iuv[..., :1] > 0, image, 255 - image)
    assert (warp(other, iuv, size)[0] == warp(image, iuv, size)[0]).all()


@settings(max_examples=50, deadline=None)
@given(pair=pairs(), size=SIZES)
def test_with_one_pixel_a_texel_both_rules_agree(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    image, iuv = pair
    alone = np.zeros_like(iuv)
    seen = set()
    for y, x in np.ndindex(*iuv.shape[:2]):
        chart, u, v = (int(value) for value in iuv[y, x])
        texel = chart, u * size // 255, v * size // 255
        if chart and texel not in seen:
            alone[y, x] = iuv[y, x]
            seen.add(texel)
    alone[(alone[..., 1] == 255) | (alone[..., 2] == 255)] = 0  # the last texel has one byte value more
    assert (warp(image, alone, size, "mean")[0] == warp(image, alone, size, "last")[0]).all()


def test_views_and_empty_maps() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    iuv = rng.integers(0, 25, (9, 7, 3), dtype=np.uint8)
    view, expected = warp(image[::-1, ::2], iuv[::-1, ::2], 4), slow_warp(image[::-1, ::2], iuv[::-1, ::2], 4)
    assert (view[0] == expected[0]).all()
    for collision in ("last", "mean"):
        texels, valid = warp(image, np.zeros_like(iuv), 4, collision)
        assert not texels.any()
        assert not valid.any()


def test_refuses_an_image_and_a_map_that_do_not_fit() -> None:
    image, iuv = np.zeros((4, 3, 3), np.uint8), np.zeros((4, 3, 3), np.uint8)
    with pytest.raises(ImageError, match="image is 3x4 pixels, its I, U, V map 4x3"):
        warp(image, iuv.transpose(1, 0, 2))
    with pytest.raises(ImageError, match=r"map is float64 \(4, 3, 3\), expected uint8 \(H, W, 3\)"):
        warp(image, iuv.astype(float))
    with pytest.raises(ImageError, match=r"image is uint8 \(4, 3\), expected uint8 \(H, W, 3\)"):
        warp(image[..., 0], iuv)
    iuv[2, 1, 0] = 25
    with pytest.raises(ImageError, match="chart 25 at row 2, column 1"):
        warp(image, iuv)


@pytest.mark.parametrize("size", [-1, 0, 1, 257])
def test_refuses_a_size_out_of_range(size: int) -> None:
    with pytest.raises(ConfigError, match="expected 2 to 256"):
        warp(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), size)


def test_refuses_an_unknown_collision_rule() -> None:
    with pytest.raises(ConfigError, match="'first'"):
        warp(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), 4, "first")  # type: ignore[arg-type]
