"""The fused surface: sums by slow loops, smoothing, and images of different light."""

import numpy as np

from dsap.fuse.person import surface_of
from dsap.fuse.surface import (
    Pixels,
    colours_at,
    distances,
    gain_against,
    pixels_of,
    smoothed,
    sums_of,
)

SIZE = 8


def random_body(seed: int, side: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Return an image and a map of noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(20, 256, (side, side, 3), dtype=np.uint8)
    iuv = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    iuv[..., 0] %= 25
    iuv[iuv[..., 0] == 0] = 0
    return image, iuv


def test_sums_are_those_of_a_loop_over_pixels() -> None:
    image, iuv = random_body(0)
    gain = np.array([0.5, 1.0, 2.0])
    want = np.zeros((24, SIZE, SIZE, 4))
    for (chart, u, v), colour in zip(iuv.reshape(-1, 3).tolist(), image.reshape(-1, 3).tolist(), strict=True):
        if chart:
            row, column = min(u * SIZE // 255, SIZE - 1), min(v * SIZE // 255, SIZE - 1)
            want[chart - 1, row, column, :3] += np.array(colour) / 255 * gain
            want[chart - 1, row, column, 3] += 1
    np.testing.assert_allclose(sums_of(pixels_of(image, iuv, SIZE), gain, SIZE), want.reshape(-1, 4), atol=1e-12)


def test_smoothing_keeps_the_sum_and_stays_on_the_chart() -> None:
    sums = np.zeros((24, SIZE, SIZE, 4))
    sums[3, 2, 4] = 1
    sums[5, 0, 0] = 1
    found = smoothed(sums.reshape(-1, 4), SIZE).reshape(24, SIZE, SIZE, 4)
    np.testing.assert_allclose(found.sum((1, 2)), sums.sum((1, 2)), atol=1e-12)
    row = np.array([1, 4, 6, 4, 1]) / 16
    np.testing.assert_allclose(found[3, 0:5, 2:7, 0], np.outer(row, row), atol=1e-12)
    assert not found[[0, 1, 2, 4, *range(6, 24)]].any()


def test_the_gain_undoes_another_light() -> None:
    image, iuv = random_body(1)
    body = pixels_of(image, iuv, SIZE)
    texel = np.arange(len(body.texel))  # each pixel on a texel of its own
    sums = np.column_stack([body.colour, np.ones(len(texel))])
    own = Pixels(body.chart, texel, body.colour * [0.5, 0.8, 1.25])
    found = gain_against(own, sums, np.ones(3))
    np.testing.assert_allclose(found, [2, 1.25, 0.8])
    distance, known = distances(own, found, sums)
    assert known.all()
    assert distance.max() < 1e-12
    assert (gain_against(Pixels(own.chart[:5], texel[:5], own.colour[:5]), sums, np.full(3, 7.0)) == 7).all()


def test_a_texel_that_no_image_shows_is_not_known() -> None:
    sums = np.zeros((24 * SIZE * SIZE, 4))
    sums[5] = [0.2, 0.4, 0.6, 0.5]
    colour, known = colours_at(sums, np.array([5, 6]))
    assert known.tolist() == [True, False]
    np.testing.assert_allclose(colour[0], [0.4, 0.8, 1.2])


def test_mean_spread_and_count_by_hand() -> None:
    """Two images of one texel, grey 0.2 and 0.6, and one of another."""
    texel = [np.array([7, 7]), np.array([7]), np.array([9])]
    grey = [0.2, 0.6, 0.5]
    bodies = [Pixels(np.ones(len(t), np.uint8), t, np.full((len(t), 3), g)) for t, g in zip(texel, grey, strict=True)]
    found = surface_of(bodies, [np.ones(3)] * 3, SIZE)
    assert found.mean.reshape(-1, 3)[7].tolist() == [102, 102, 102]  # an image counts once, whatever its pixels
    assert found.spread.ravel()[7] == 51
    assert found.count.ravel()[[7, 8, 9]].tolist() == [2, 0, 1]
    assert found.mean.dtype == found.spread.dtype == np.uint8
