"""The renderer's true maps as an engine, with the errors of an estimator."""

from pathlib import Path

import numpy as np
import pytest

from densepose_extract.config import EstimatorErrors
from densepose_extract.engines.estimator_errors import estimated
from densepose_extract.engines.rendered import Rendered
from dsa_app.errors import EngineError, ImageError
from dsa_data.records import read_manifest
from tiny import list_images, random_iuv, write_iuv_image, write_true_maps

TRUTH = EstimatorErrors(rate=0)


def test_rate_0_gives_the_true_map_of_every_record(market: Path, tmp_path: Path) -> None:
    write_true_maps(market)
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    engine = Rendered(market, TRUTH)
    for number, record in enumerate(records):
        answer = engine.find(record).read(record)
        expected = random_iuv(24, 12, number) if number else np.zeros((24, 12, 3))
        assert (answer.iuv == expected).all()
        assert (answer.status, answer.score) == (("found", 1.0) if number else ("none", 0.0))


def test_errors_are_applied_and_depend_on_the_image(market: Path, tmp_path: Path) -> None:
    write_true_maps(market)
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    errors = EstimatorErrors(missed=0.5)
    statuses = set()
    for number, record in enumerate(records[1:], start=1):
        assert (Rendered(market).find(record).read(record).iuv != random_iuv(24, 12, number)).any()
        answer = Rendered(market, errors).find(record).read(record)
        generator = np.random.default_rng([0, int(record.digest, 16)])
        expected = estimated(random_iuv(24, 12, number), errors, generator)
        assert (answer.iuv == expected).all()
        assert (answer.status, answer.score) == (("found", 1.0) if expected.any() else ("none", 0.0))
        assert np.isnan(answer.box).all() == (answer.status == "none")
        statuses.add(answer.status)
    assert statuses == {"found", "none"}
    other = Rendered(market, EstimatorErrors(seed=1)).find(records[1]).read(records[1])
    assert (other.iuv != Rendered(market).find(records[1]).read(records[1]).iuv).any()


def test_turned_people_are_part_of_the_identity_and_none_leave_it_as_it_was(market: Path) -> None:
    write_true_maps(market)
    assert "turned" not in Rendered(market).identity["errors"]
    assert Rendered(market, EstimatorErrors(turned=0.05)).identity["errors"]["turned"] == 0.05


def test_the_digest_follows_the_file(market: Path, tmp_path: Path) -> None:
    write_true_maps(market)
    record = read_manifest(list_images(market, tmp_path / "manifest.csv"))[3]
    engine = Rendered(market)
    before = engine.find(record)
    assert engine.find(record) == before
    assert before.path is not None
    write_iuv_image(before.path, random_iuv(24, 12, 99))
    assert engine.find(record).digest != before.digest
    before.path.unlink()
    with pytest.raises(ImageError, match=rf"{before.path.name} is missing"):
        engine.find(record)


def test_a_dataset_of_photographs_has_no_true_maps(market: Path) -> None:
    with pytest.raises(EngineError, match=r"market1501/iuv is missing.*--engine native"):
        Rendered(market)
