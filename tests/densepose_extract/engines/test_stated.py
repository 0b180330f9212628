"""The confidence that an estimator states of its errors: probabilities that are about right, and better with clues."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from densepose_extract.config import EstimatorErrors, ExtractConfig
from densepose_extract.engines.estimator_errors import ARMS, estimate
from densepose_extract.engines.make import make_engine
from densepose_extract.engines.rendered import Rendered
from densepose_extract.engines.stated import TOLERANCE, probability_right, share_beyond, stated_confidence
from densepose_extract.stage import extract
from dsa_app.errors import ConfigError
from dsa_data.records import read_manifest
from dsa_data.stores.iuv import IuvStore
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsa_data.synthetic.shots import plan, scene_of
from tiny import list_images, write_true_maps

NONE = EstimatorErrors(missed=0, lost_limb=0, lost_chart=0, swapped=0, offset=0, noise=0, outline=0)


def only(**errors: float) -> EstimatorErrors:
    return dataclasses.replace(NONE, **errors)


def bands() -> np.ndarray:
    """A map of 24 bands, one a chart, with background to both sides."""
    iuv = np.zeros((120, 30, 3), np.uint8)
    iuv[:, 5:25, 0] = np.repeat(np.arange(1, 25), 5)[:, None]
    iuv[:, 5:25, 1:] = 100, 60
    return iuv


def stated(iuv: np.ndarray, errors: EstimatorErrors, seed: int = 0) -> np.ndarray:
    made = estimate(iuv, errors, np.random.default_rng(seed))
    return stated_confidence(made, errors, np.random.default_rng([seed, 1]))


def test_an_estimator_without_errors_is_sure_of_everything() -> None:
    assert (stated(bands(), NONE) == 255).all()
    assert (stated(bands(), EstimatorErrors(rate=0)) == 255).all()


def test_without_a_person_it_says_nothing() -> None:
    assert not stated(bands(), only(missed=1)).any()
    assert not stated(bands() * 0, NONE).any()


@pytest.mark.parametrize("known", [0.5, 0.7, 0.95])
def test_probabilities_are_right_on_average_and_as_telling_as_stated(known: float) -> None:
    rng = np.random.default_rng(0)
    wrong = rng.random(20_000) < 0.2
    clues = rng.standard_normal(20_000)
    values = np.array([probability_right(bool(w), 0.2, known, c) for w, c in zip(wrong, clues, strict=True)])
    assert abs(values.mean() - 0.8) < 0.012
    for low in np.arange(0, 1, 0.2):
        chosen = (values >= low) & (values < low + 0.2)
        if chosen.sum() > 500:
            assert abs(values[chosen].mean() - (~wrong[chosen]).mean()) < 0.05
    # The area under the ROC curve, by its definition: a right one and a wrong one at random, ties count half.
    pairs = rng.choice(values[~wrong], 20_000), rng.choice(values[wrong], 20_000)
    area = ((pairs[0] > pairs[1]) + 0.5 * (pairs[0] == pairs[1])).mean()
    assert abs(area - known) < 0.02


def test_the_share_beyond_the_tolerance() -> None:
    rng = np.random.default_rng(0)
    off = np.hypot(*rng.normal(0, 15, (2, 100_000)))
    assert abs(share_beyond(15) - (off > TOLERANCE).mean()) < 0.01
    assert share_beyond(0) == 0


def test_exchanged_arms_are_doubted_more_and_legs_are_not() -> None:
    errors = only(swapped=0.3, known=0.9)
    arms = np.isin(bands()[..., 0], np.ravel(ARMS))
    by_swap: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(300):
        made = estimate(bands(), errors, np.random.default_rng(seed))
        confidence = stated_confidence(made, errors, np.random.default_rng([seed, 1]))
        by_swap[bool(made.swapped[ARMS[0][0]])].append(float(confidence[arms].mean() / 255))
        assert (confidence[(made.iuv[..., 0] <= 2)] == 255).all()  # background and torso
    assert np.mean(by_swap[False]) - np.mean(by_swap[True]) > 0.3
    assert abs(np.mean(by_swap[True] + by_swap[False]) - 0.7) < 0.06


def test_turned_maps_are_doubted_more() -> None:
    errors = only(turned=0.3, known=0.9)
    by_turn: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(300):
        made = estimate(bands(), errors, np.random.default_rng(seed))
        confidence = stated_confidence(made, errors, np.random.default_rng([seed, 1]))
        body = made.iuv[..., 0] > 0
        by_turn[made.turned].append(float(confidence[body].mean() / 255))
        assert (confidence[~body] == 255).all()
    assert np.mean(by_turn[False]) - np.mean(by_turn[True]) > 0.3
    assert abs(np.mean(by_turn[True] + by_turn[False]) - 0.7) < 0.06


def test_pixels_near_a_border_are_doubted() -> None:
    iuv = np.zeros((128, 64, 3), np.uint8)
    iuv[20:110, 16:48] = 2, 100, 60
    confidence = stated(iuv, only(outline=0.02))
    assert confidence[60, 32] > 250
    assert confidence[60, 2] == 255
    assert 80 < confidence[60, 16:18].min() < 180


def test_on_rendered_people_stated_and_true_agree() -> None:
    """Measured on 80 people at rate 1: 0.43 stated in the mean and 0.44 right, and the area under the curve is 0.69."""
    settings, errors = SynthConfig(train_identities=60, train_pictures=2), EstimatorErrors()
    values, truth = [], []
    for number in range(60):
        true = render(scene_of(settings, plan(settings)[number][0]))[1]
        made = estimate(true, errors, np.random.default_rng([0, number]))
        confidence = stated_confidence(made, errors, np.random.default_rng([0, number, 1]))
        body = made.iuv[..., 0] > 0
        off = ((made.iuv[..., 1:].astype(float) - true[..., 1:]) ** 2).sum(axis=2) > TOLERANCE**2
        values.append(confidence[body] / 255)
        truth.append(((made.iuv[..., 0] == true[..., 0]) & ~off)[body])
    stated_values, right = np.concatenate(values), np.concatenate(truth)
    assert abs(stated_values.mean() - right.mean()) < 0.08
    pick = np.random.default_rng(0)
    pairs = pick.choice(stated_values[right], 50_000), pick.choice(stated_values[~right], 50_000)
    assert (pairs[0] > pairs[1]).mean() > 0.62
    for low in (0.3, 0.5, 0.7):
        chosen = (stated_values >= low) & (stated_values < low + 0.2)
        assert abs(stated_values[chosen].mean() - right[chosen].mean()) < 0.12


def test_maps_and_bytes_are_the_same_with_and_without(market: Path, tmp_path: Path) -> None:
    write_true_maps(market)
    manifest = list_images(market, tmp_path / "manifest.csv")
    records = read_manifest(manifest)
    plain, sure = (
        make_engine(ExtractConfig(confidence=confidence), "synthetic", market, records) for confidence in (False, True)
    )
    assert "known" not in plain.identity["errors"]
    assert (sure.identity["errors"]["known"], sure.identity["confidence"]) == (0.75, "pixels")
    for engine, name in ((plain, "plain"), (sure, "sure")):
        extract(manifest, market, tmp_path / f"{name}.h5", "synthetic", engine)
    with IuvStore(tmp_path / "plain.h5") as one, IuvStore(tmp_path / "sure.h5") as other:
        assert (one.version, other.version, other.confidence) == (1, 3, "pixels")
        stated_somewhere = False
        for index in range(len(one)):
            read = other.read(index)
            assert (read.iuv == one.read(index).iuv).all()
            assert read.confidence is not None
            assert read.confidence.any() == read.iuv.any()
            stated_somewhere |= bool(len(np.unique(read.confidence)) > 5)
        assert stated_somewhere
    before = (tmp_path / "sure.h5").read_bytes()
    (tmp_path / "sure.h5").unlink()
    extract(manifest, market, tmp_path / "sure.h5", "synthetic", sure, jobs=2)
    assert (tmp_path / "sure.h5").read_bytes() == before


def test_known_has_no_effect_without_a_confidence(market: Path) -> None:
    write_true_maps(market)
    assert Rendered(market, EstimatorErrors(known=0.9)).identity == Rendered(market).identity
    assert (
        Rendered(market, EstimatorErrors(known=0.9), True).identity
        != Rendered(market, EstimatorErrors(), True).identity
    )


@pytest.mark.parametrize("engine", ["import", "detectron2"])
def test_other_engines_refuse_it(market: Path, engine: str) -> None:
    with pytest.raises(ConfigError, match="native and rendered"):
        make_engine(ExtractConfig(engine=engine, confidence=True, maps="."), "market1501", market, [])  # type: ignore[arg-type]
