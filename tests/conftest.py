"""Settings and fixtures of all tests: one thread, the folder ../shared, a small dataset."""

import os
import signal
from pathlib import Path

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell starts what it runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["OMP_NUM_THREADS"] = "1"  # two threads that fight for a busy core were seen ten times slower than one

import hypothesis
import numpy as np
import pytest

from dsa_app import console, remedies
from dsa_data import images
from pasted import check

hypothesis.settings.register_profile("shared machine", deadline=None)  # another process may hold the core
hypothesis.settings.load_profile("shared machine")


def pytest_configure(config: pytest.Config) -> None:
    """Hide GPUs from all runs but `pytest -m gpu`: the other tests compare bits, which `device: auto` would change."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _remedies_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check the commands in every error that a test makes a command print."""
    fail = console.fail
    remedies.remember()

    def checked(message: str) -> None:
        check(message)
        fail(message)

    monkeypatch.setattr(console, "fail", checked)


@pytest.fixture
def shared() -> Path:
    """The folder ../shared, with files that may not be redistributed; a clone does not have it."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent")
    return SHARED


@pytest.fixture
def market(tmp_path: Path) -> Path:
    """A tiny dataset in Market-1501's layout, with a distractor, junk and a Thumbs.db."""
    return make_market(tmp_path / "market1501")


def make_market(root: Path, height: int = 24, width: int = 12) -> Path:
    """Write 3 + 3 identities of noise, junk, a distractor and a Thumbs.db under `root`."""
    rng = np.random.default_rng(0)
    names = [f"bounding_box_train/{pid:04}_c{cam}s1_000{pid:03}_0{cam}.jpg" for pid in (2, 7, 9) for cam in (1, 2)]
    names += [f"query/{pid:04}_c1s1_000{pid:03}_00.jpg" for pid in (1, 3, 5)]
    names += [f"bounding_box_test/{pid:04}_c{cam}s1_000{pid:03}_0{cam}.jpg" for pid in (1, 3, 5) for cam in (2, 3)]
    names += ["bounding_box_test/-1_c1s1_000001_01.jpg", "bounding_box_test/0000_c2s1_000002_01.jpg"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode_jpeg(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)))
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"not an image")
    return root
