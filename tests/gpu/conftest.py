"""The GPU that is compared with the CPU, computing in float32."""

import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from detectron2_reference import entries

DEVICE = "DSA_TEST_DEVICE"  # "cpu" compares the CPU with itself, which checks the tests on a machine without a GPU


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Iterator[torch.device]:
    """The device under test, without TF32, whose products have 10 bits; skips if there is no GPU."""
    name = os.environ.get(DEVICE)
    if name is None and request.config.option.markexpr != "gpu":
        pytest.skip("run by pytest -m gpu")
    if name is None and not torch.cuda.is_available():
        pytest.skip("torch finds no GPU")
    found = torch.device(name or "cuda")
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
        yield found


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Reproducible random weights of R_50_FPN_s1x as a checkpoint file of 240 MB, deleted when the tests end."""
    path = tmp_path_factory.mktemp("checkpoint") / "random.pkl"
    path.write_bytes(pickle.dumps({"model": entries("R_50_FPN_s1x")}, protocol=4))
    yield path
    path.unlink()
