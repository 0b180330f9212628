"""One network and one checkpoint file for all tests."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from densepose_extract.network import DensePoseRCNN, build
from densepose_extract.weights.checkpoint import fill
from detectron2_reference import entries


@pytest.fixture(scope="session")
def network() -> DensePoseRCNN:
    """R_50_FPN_s1x with reproducible random weights."""
    made = build("R_50_FPN_s1x")
    fill(made, entries("R_50_FPN_s1x"), "random weights")
    return made


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same weights as a checkpoint file of 240 MB, deleted when the tests end."""
    path = tmp_path_factory.mktemp("checkpoint") / "random.pkl"
    with path.open("wb") as file:
        pickle.dump({"model": entries("R_50_FPN_s1x"), "__author__": "tests"}, file, protocol=4)
    yield path
    path.unlink()
