"""The model file: saved and loaded to the bit; everything wrong with a file is reported."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing
from dsa_reid.model import FORMAT
from repository import ROOT

PREPROCESSING = Preprocessing(32, 16, mean=(0.5, 0.4, 0.3))


def stream(heads: str = "both") -> MainStream:
    torch.manual_seed(0)
    main = MainStream(MainStreamConfig(trunk="resnet18", width=0.125, heads=heads))
    main(torch.randn(8, 3, 32, 16))  # running statistics of its own
    return main.eval()


def crops(n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*map(int, rng.integers(8, 60, 2)), 3), dtype=np.uint8) for _ in range(n)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return dsa_reid.save(stream(), tmp_path / "model.pt", PREPROCESSING)


def test_saved_and_loaded_to_the_bit(path: Path) -> None:
    before, model = stream(), dsa_reid.load(path)
    assert model.preprocessing == PREPROCESSING
    assert model.main_stream.config == before.config
    assert not model.main_stream.training
    assert model.main_stream.state_dict().keys() == before.state_dict().keys()
    for key, value in before.state_dict().items():
        assert torch.equal(model.main_stream.state_dict()[key], value)
    images = torch.randn(3, 3, 32, 16)
    for ours, theirs in zip(model.main_stream(images), before(images), strict=True):
        assert torch.equal(ours, theirs)


def test_embedding_is_preprocessing_then_network_then_lengths_of_one(path: Path) -> None:
    model, images = dsa_reid.load(path), crops(5)
    features = model.embed(images)
    assert features.shape == (5, model.dimensions) == (5, 128)
    assert features.dtype == torch.float32
    halves = features.unflatten(1, (2, 64))
    torch.testing.assert_close(halves.norm(dim=2), torch.ones(5, 2))

    resized = torch.stack([PREPROCESSING.resize(torch.from_numpy(image)) for image in images])
    f_global, f_local = stream()(PREPROCESSING.normalise(resized))
    torch.testing.assert_close(halves[:, 0], f_global / f_global.norm(dim=1, keepdim=True))
    whole = f_local.flatten(1)
    torch.testing.assert_close(halves[:, 1], whole / whole.norm(dim=1, keepdim=True))


def test_batches_do_not_matter(path: Path) -> None:
    model, images = dsa_reid.load(path), crops(7)
    together = model.embed(images)
    for size in (1, 3):
        torch.testing.assert_close(model.embed(iter(images), batch_size=size), together)
    assert model.embed([]).shape == (0, 128)


@pytest.mark.parametrize("heads", ["global", "local"])
def test_one_head(tmp_path: Path, heads: str) -> None:
    model = dsa_reid.load(dsa_reid.save(stream(heads), tmp_path / "model.pt", PREPROCESSING))
    features = model.embed(crops(2))
    assert features.shape == (2, model.dimensions) == (2, 64)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))


def test_the_same_weights_give_the_same_bytes(path: Path, tmp_path: Path) -> None:
    again = dsa_reid.save(dsa_reid.load(path).main_stream, tmp_path / "other" / "name.pt", PREPROCESSING)
    assert again.read_bytes() == path.read_bytes()
    assert sorted(os.listdir(tmp_path / "other")) == ["name.pt"]


def test_loading_samples_no_random_numbers(path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    dsa_reid.load(path)
    assert torch.equal(torch.rand(1), expected)


def test_works_beside_a_users_own_train_and_data(path: Path, tmp_path: Path) -> None:
    """A tracker has a train.py and a data/ of its own, and none of our other requirements."""
    (tmp_path / "train.py").write_text("mine = 1\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "__init__.py").write_text("mine = 2\n")
    (tmp_path / "dsa_reid").symlink_to(ROOT / "dsa_reid")
    (tmp_path / "tracker.py").write_text(
        "import sys, numpy as np, data, train, dsa_reid\n"
        f"features = dsa_reid.load({str(path)!r}).embed([np.zeros((9, 7, 3), np.uint8)])\n"
        "assert (train.mine, data.mine, features.shape) == (1, 2, (1, 128))\n"
        "assert not {'cv2', 'pydantic', 'yaml', 'h5py', 'click'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "tracker.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.pt cannot be read: No such file"):
        dsa_reid.load(tmp_path / "model.pt")


@pytest.mark.parametrize("keep", [0, 100, 5000, -30])
def test_a_truncated_file(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="truncated, damaged or not a model"):
        dsa_reid.load(path)


def test_a_flipped_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="truncated, damaged or not a model"):
        dsa_reid.load(path)


class Payload:
    """An object whose loading runs a command."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.trace}",)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"format": FORMAT, "version": 1, "config": Payload(trace)}, tmp_path / "model.pt")
    with pytest.raises(ModelError, match="no code in it was run"):
        dsa_reid.load(tmp_path / "model.pt")
    assert not trace.exists()


def rewritten(path: Path, **changes: object) -> Path:
    torch.save(torch.load(path, weights_only=True) | changes, path)
    return path


def test_a_newer_version(path: Path) -> None:
    with pytest.raises(ModelError, match="has version 2, this dsa_reid reads version 1"):
        dsa_reid.load(rewritten(path, version=2))


def test_another_kind_of_file(path: Path, tmp_path: Path) -> None:
    torch.save(stream().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="is not a model of dsa-reid"):
        dsa_reid.load(tmp_path / "weights.pt")


@pytest.mark.parametrize(
    "change",
    [
        {"config": {"trunk": "resnet50"}},
        {"config": {"trunk": "resnet34"}},
        {"config": {"depth": 4}},
        {"state": {}},
        {"preprocessing": {"size": 4}},
    ],
)
def test_weights_that_do_not_fit_the_configuration(path: Path, change: dict) -> None:
    with pytest.raises(ModelError, match="has weights that do not fit its configuration"):
        dsa_reid.load(rewritten(path, **change))


def test_an_unusable_device(path: Path) -> None:
    absent = "cuda:7" if torch.cuda.is_available() else "cuda"
    with pytest.raises(ModelError, match=f"Device '{absent}' cannot be used"):
        dsa_reid.load(path, device=absent)
    with pytest.raises(ModelError, match="Device 'abacus' cannot be used"):
        dsa_reid.load(path, device="abacus")


def test_empty_batches_are_refused(path: Path) -> None:
    with pytest.raises(ModelError, match="batch_size = 0"):
        dsa_reid.load(path).embed(crops(1), batch_size=0)


def test_preprocessing_is_stored_as_plain_values(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    assert content["preprocessing"] == dataclasses.asdict(PREPROCESSING)
