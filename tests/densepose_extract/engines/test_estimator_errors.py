"""The estimator's errors: none at rate 0, of the configured size, growing with the rate, and always a valid map."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densepose_extract.config import EstimatorErrors, ExtractConfig
from densepose_extract.engines.estimator_errors import ARMS, HEAD, LEGS, estimate, estimated
from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_data.charts import CHART_NAMES, PARTNER
from dsa_data.synthetic.appearance import SIZE
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import plan, scene_of
from dsa_data.turning import turned
from tiny import random_iuv

NONE = EstimatorErrors(missed=0, lost_limb=0, lost_chart=0, swapped=0, offset=0, noise=0, outline=0)


def only(**errors: float) -> EstimatorErrors:
    return dataclasses.replace(NONE, **errors)


def with_errors(iuv: np.ndarray, errors: EstimatorErrors, seed: int = 0) -> np.ndarray:
    return estimated(iuv, errors, np.random.default_rng(seed))


def stripes() -> np.ndarray:
    """A map of 24 bands, one a chart, five rows each, with background to both sides; U = 100, V = 60."""
    iuv = np.zeros((5 * len(CHART_NAMES), 30, 3), np.uint8)
    iuv[:, 5:25, 0] = np.repeat(np.arange(1, 25), 5)[:, None]
    iuv[:, 5:25, 1:] = 100, 60
    return iuv


@settings(max_examples=60, deadline=None)
@given(rate=st.floats(0, 5), height=st.integers(3, 40), width=st.integers(5, 30), seed=st.integers(0, 2**32))
def test_the_result_is_always_a_valid_map(rate: float, height: int, width: int, seed: int) -> None:
    truth = random_iuv(height, width, seed)
    before = truth.copy()
    found = with_errors(truth, EstimatorErrors(rate=rate), seed)
    assert (found.shape, found.dtype) == (truth.shape, np.uint8)
    assert found[..., 0].max() <= 24
    assert not found[found[..., 0] == 0].any()
    assert (truth == before).all()
    assert (with_errors(truth, EstimatorErrors(rate=rate), seed) == found).all()


def test_rate_0_is_the_true_map() -> None:
    worst = EstimatorErrors(0, missed=1, lost_limb=1, lost_chart=1, swapped=1, offset=255, noise=255, outline=1)
    for seed in range(20):
        truth = random_iuv(24, 12, seed)
        assert (with_errors(truth, worst, seed) == truth).all()
        assert (with_errors(truth, EstimatorErrors(), seed) != truth).any()


@pytest.mark.parametrize(("rate", "share"), [(0.5, 0.075), (1, 0.15), (2, 0.3), (7, 1.0)])
def test_the_share_of_missed_people_follows_the_rate(rate: float, share: float) -> None:
    truth = stripes()
    missed = [not with_errors(truth, only(missed=0.15, rate=rate), seed).any() for seed in range(1000)]
    assert abs(np.mean(missed) - share) <= 4 * np.sqrt(share * (1 - share) / 1000)


def test_lost_parts_are_whole_follow_the_rate_and_stay_lost_at_higher_rates() -> None:
    truth = stripes()

    def missing(rate: float, seed: int) -> np.ndarray:
        """Return which charts are lost: bool (24,); each has five rows of the map."""
        found = with_errors(truth, only(lost_chart=0.1, lost_limb=0.2, rate=rate), seed)
        return ~found[:120].reshape(24, -1).any(axis=1)

    lost = {rate: np.array([missing(rate, seed) for seed in range(300)]) for rate in (0.5, 1, 2)}  # (300, 24) each
    assert (lost[1] >= lost[0.5]).all()
    assert (lost[2] >= lost[1]).all()
    for rate, found in lost.items():
        assert abs(found[:, :2].mean() - 0.1 * rate) < 0.05  # the torso is no limb
        together = 1 - (1 - 0.1 * rate) * (1 - 0.2 * rate)
        assert abs(found[:, 2:].mean() - together) < 0.05
    kept = with_errors(truth, only(lost_chart=0.1, lost_limb=0.2), 1)
    assert (kept[kept[..., 0] > 0] == truth[kept[..., 0] > 0]).all()


def test_limbs_cover_all_but_the_torso_and_partners_face_each_other() -> None:
    assert sorted([*np.ravel(ARMS), *np.ravel(LEGS), *HEAD]) == list(range(3, 25))
    for left, right in (ARMS, LEGS):
        assert [CHART_NAMES[c - 1].split()[0] for c in (*left, *right)] == ["left"] * 5 + ["right"] * 5
        assert PARTNER[list(left)].tolist() == list(right)


def test_swapped_limbs_by_hand() -> None:
    truth = stripes()
    found = with_errors(truth, only(swapped=1))
    for chart in range(1, 25):
        band = found[5 * chart - 5 : 5 * chart, 5:25]
        taken, v = (PARTNER[chart], 195 if 7 <= chart <= 22 else 60) if 3 <= chart <= 22 else (chart, 60)
        assert (band == (taken, 100, v)).all(), CHART_NAMES[chart - 1]
    assert not found[:, :5].any()


def test_arms_and_legs_are_swapped_independently_at_the_rate() -> None:
    truth = stripes()
    swapped = np.array([with_errors(truth, only(swapped=0.3), seed)[[10, 20], 10, 0] != (3, 5) for seed in range(1000)])
    assert np.abs(swapped.mean(axis=0) - 0.3).max() < 0.06  # hands, feet
    assert abs(swapped.all(axis=1).mean() - 0.09) < 0.04


@pytest.mark.parametrize("rate", [0.5, 1, 3])
def test_maps_are_turned_at_the_rate_and_have_the_other_errors_too(rate: float) -> None:
    truth = stripes()
    hard, turning = EstimatorErrors(rate=rate, turned=0), EstimatorErrors(rate=rate, turned=0.2)
    count = 0
    for seed in range(300):
        made = estimate(truth, turning, np.random.default_rng(seed))
        without = with_errors(truth, hard, seed)
        assert (made.iuv == (turned(without) if made.turned else without)).all()
        count += made.turned
    assert abs(count / 300 - 0.2 * rate) < 0.1


def test_a_turned_front_is_a_back() -> None:
    found = with_errors(stripes(), only(turned=1))
    truth = stripes()
    assert set(found[truth[..., 0] == 2][:, 0]) == {1}
    assert set(found[np.isin(truth[..., 0], (9, 10, 13, 14))][:, 0]) == {7, 8, 11, 12}
    assert (turned(found)[..., :2] == truth[..., :2]).all()


def test_offsets_are_smooth_over_a_chart_and_of_the_configured_size() -> None:
    ramp = np.zeros((200, 200, 3), np.uint8)
    ramp[..., 0] = 2
    ramp[..., 1], ramp[..., 2] = np.mgrid[28:228, 28:228]  # far from 0 and 255, where values are cut
    moved = np.array([with_errors(ramp, only(offset=8), seed)[..., 1:] for seed in range(200)], np.float32)
    moved -= ramp[..., 1:]
    assert np.abs(np.diff(moved, axis=1)).max() <= 1  # of neighbours, after rounding
    assert 6 < moved.std() < 9  # 8 over all of the chart, of which this is the middle
    assert abs(moved.mean()) < 1
    assert np.abs(moved).mean(axis=(1, 2)).std() > 1  # another image, another offset


def test_noise_is_each_pixels_own() -> None:
    truth = np.full((100, 100, 3), 100, np.uint8) * (0, 1, 1) + np.array((2, 0, 0), np.uint8)
    moved = with_errors(truth.astype(np.uint8), only(noise=4))[..., 1:].astype(float) - 100
    assert 3.8 < moved.std() < 4.2
    assert abs(np.corrcoef(moved[:, :-1].ravel(), moved[:, 1:].ravel())[0, 1]) < 0.05


def test_outlines_are_displaced_and_nothing_else() -> None:
    truth = np.zeros((128, 64, 3), np.uint8)
    truth[20:110, 16:48] = 2, 100, 60
    found = np.array([with_errors(truth, only(outline=0.01), seed) for seed in range(30)])
    wrong = (found != truth).any(axis=(0, 3))  # (H, W)
    assert not wrong[30:100, 26:38].any()
    assert not wrong[:, :6].any()
    body = found[..., 0] > 0
    assert (body & (truth[..., 0] == 0)).any()
    assert (~body & (truth[..., 0] > 0)).any()
    assert (found[body] == (2, 100, 60)).all()


def test_on_rendered_people_errors_are_as_documented() -> None:
    """Of detected people: body pixels lost, on a wrong chart, and the error of the others in centimetres."""
    settings = SynthConfig(train_identities=100, train_pictures=2)
    lost, wrong, missed, way = 0, 0, 0, []
    for number in range(100):
        truth = render(scene_of(settings, plan(settings)[number][0]))[1]
        found = with_errors(truth, EstimatorErrors(), number)
        if not found.any():
            missed += 1
            continue
        body, taken = truth[..., 0] > 0, found[..., 0]
        lost += (body & (taken == 0)).sum() / body.sum()
        wrong += (body & (taken > 0) & (taken != truth[..., 0])).sum() / body.sum()
        same = body & (taken == truth[..., 0])
        off = (found[same, 1:].astype(float) - truth[same, 1:]) / 255 * SIZE[taken[same]]
        way.append(np.hypot(off[:, 0], off[:, 1]))
    assert 8 <= missed <= 25
    assert 0.12 < lost / (100 - missed) < 0.24
    assert 0.08 < wrong / (100 - missed) < 0.18
    assert 2 < np.median(np.concatenate(way)) < 4


def test_negative_rates_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"errors\.rate = -1"):
        build(ExtractConfig, {"errors": {"rate": -1}}, "--set")
    with pytest.raises(ConfigError, match="Did you mean 'missed'"):
        build(ExtractConfig, {"errors": {"mised": 0}}, "--set")
