"""Time and memory a record do not grow with the number of records; the recorded run goes to a million."""

from pathlib import Path

import pytest

from faults import endurance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FEW, MANY = 1_000, 5_000
MORE = 1.5  # times as much a record is a fault: several programs may share the machine that tests run on
SLACK = 0.2  # seconds that a step may take whatever the number of records


def test_the_pipeline(tmp_path: Path) -> None:
    few, many = (endurance.pipeline(tmp_path / str(count), count) for count in (FEW, MANY))
    for name in few:
        allowed = MORE * MANY / FEW * (few[name]["seconds"] + SLACK)
        assert many[name]["seconds"] < allowed, name
        assert many[name]["MiB"] < 64 + MORE * MANY / FEW * few[name]["MiB"], name


def test_an_evaluation(tmp_path: Path) -> None:
    few, many = (endurance.evaluation(tmp_path, 500, count) for count in (FEW, MANY))
    assert many["evaluate"]["seconds"] < MORE * MANY / FEW * (few["evaluate"]["seconds"] + SLACK)


def test_a_training_of_many_epochs(tmp_path: Path) -> None:
    found = endurance.training(tmp_path / "training", 30)
    assert found["MiB at the end"] < 1.05 * found["MiB after a third"] + 8, found
