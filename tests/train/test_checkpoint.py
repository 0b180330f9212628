import pickle
import random
import resource
import zipfile

import numpy as np
import pytest
import torch

from dsa_app.errors import CheckpointError
from dsa_train import checkpoint


@pytest.fixture
def path(tmp_path):
    return checkpoint.save(tmp_path / "checkpoint.pt", {"weights": torch.arange(20_000.0), "epoch": 3})


def test_comes_back_as_it_was(path):
    state = checkpoint.load(path)
    assert torch.equal(state["weights"], torch.arange(20_000.0))
    assert state["epoch"] == 3
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("room", [0, 100, 79_000, 81_000])
def test_a_full_disk_says_of_which_file_and_keeps_the_old_one(path, room):
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    assert room < len(before)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            checkpoint.save(path, {"weights": torch.ones(20_000), "epoch": 4})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("share", [0, 0.3, 0.99])
def test_truncated(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="is truncated, or not a checkpoint"):
        checkpoint.load(path)


def test_one_bit_flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)


class Code:
    """What unpickles into a call."""

    def __reduce__(self):
        return (Trap.spring, ())


class Trap:
    sprung = False

    @staticmethod
    def spring():
        Trap.sprung = True


def test_code_is_refused_and_not_run(path):
    torch.save({"format": checkpoint.FORMAT, "version": 1, "state": Code()}, path)
    with pytest.raises(CheckpointError, match="contains more than weights: it was refused"):
        checkpoint.load(path)
    assert not Trap.sprung
    path.write_bytes(pickle.dumps(Code()))
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        checkpoint.load(path)
    assert not Trap.sprung


def test_another_file_or_version(path):
    torch.save({"state": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="is not a checkpoint of a training"):
        checkpoint.load(path)
    torch.save({"format": checkpoint.FORMAT, "version": 99}, path)
    with pytest.raises(CheckpointError, match="version 99, this program reads 1"):
        checkpoint.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "a")
    with pytest.raises(CheckpointError, match="damaged"):
        checkpoint.load(path)
    with pytest.raises(CheckpointError, match="does not exist"):
        checkpoint.load(path.with_name("none.pt"))


def test_differing_settings_are_named():
    made_with = {"train": {"seed": 0, "network": {"guide": True}}, "pictures": "abc"}
    checkpoint.check_same("checkpoint.pt", made_with, made_with)
    with pytest.raises(CheckpointError, match=r"train\.network\.guide was True, this run wants False"):
        checkpoint.check_same(
            "checkpoint.pt", made_with, {**made_with, "train": {"seed": 0, "network": {"guide": False}}}
        )


def test_every_generator_is_restored(tmp_path):
    def sample():
        return random.random(), np.random.rand(), np.random.randn(), torch.rand(1).item()

    sample()
    saved = checkpoint.save(tmp_path / "c.pt", checkpoint.random_states())
    expected = sample()
    sample()
    checkpoint.restore_random(checkpoint.load(saved))
    assert sample() == expected
