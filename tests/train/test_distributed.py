import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_app.process_group import ProcessGroup
from dsa_train import checkpoint, loop, stage
from dsa_train.distributed import Processes
from processes import together

STEPS = 3  # in an epoch


def exactly(tiny, small, folder, **changes):
    """Train in float64 and leave every step's terms in the folder, a file for each process."""
    torch.set_default_dtype(torch.float64)
    feed, loss_terms, seen = loop.feed, loop.loss_terms, []

    def doubled(*arguments):
        inputs = feed(*arguments)
        return inputs._replace(images=inputs.images.double(), parts=inputs.parts.double())

    def noted(*arguments):
        found = loss_terms(*arguments)
        seen.append(torch.stack(list(found.values())).detach())
        return found

    loop.feed, loop.loss_terms = doubled, noted
    config = small(identities=4, pictures=2, precision="float32", **changes)
    stage.run(tiny.manifest, tiny.root, tiny.dsap, folder / "run", config)
    torch.save(torch.stack(seen), folder / f"{os.environ['RANK']}.pt")


@pytest.mark.parametrize(
    "losses",
    [
        pytest.param({}, marks=pytest.mark.slow),
        pytest.param({"metric": "circle"}, marks=pytest.mark.slow),
        pytest.param({"centre": 0.01}, marks=pytest.mark.slow),
    ],
    ids=["triplet", "circle", "centre"],
)
def test_two_processes_have_the_losses_and_weights_of_one(tiny, small, tmp_path, losses):
    """In float64, with the same batches and batch norm synchronised; over steps, so gradients are compared too."""
    seen, weights = {}, {}
    for size in (1, 2):
        folder = tmp_path / str(size)
        folder.mkdir()
        changes = {"epochs": 2, "synchronised_norm": True, "losses": losses}
        assert together(exactly, size, tiny, small, folder, **changes) == [0] * size
        seen[size] = torch.stack([torch.load(folder / f"{rank}.pt") for rank in range(size)]).mean(0)
        weights[size] = checkpoint.load(folder / "run" / "checkpoint.pt")["network"]
    assert seen[1].shape[0] >= 2 * STEPS
    torch.testing.assert_close(seen[2], seen[1], rtol=0, atol=1e-9)
    assert weights[1].keys() == weights[2].keys()
    for name, value in weights[1].items():
        torch.testing.assert_close(weights[2][name], value, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_the_triplet_sees_the_others(tiny, small, tmp_path):
    """With each process's own pictures alone the losses would be others."""
    seen = {}
    for alone in (False, True):
        folder = tmp_path / str(alone)
        folder.mkdir()
        work = blind if alone else exactly
        assert together(work, 2, tiny, small, folder, epochs=1, synchronised_norm=True) == [0, 0]
        seen[alone] = torch.stack([torch.load(folder / f"{rank}.pt") for rank in range(2)])
    triplets = slice(-2, None)
    assert torch.equal(seen[False][0, 0, triplets], seen[False][1, 0, triplets])
    assert not torch.equal(seen[True][0, 0, triplets], seen[True][1, 0, triplets])


def blind(*arguments, **settings):
    Processes.gather = lambda self, x: x
    exactly(*arguments, **settings)


def trained(tiny, small, out, **changes):
    stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(identities=4, pictures=2, **changes))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 1), (1, 2), (2, 4)])
def test_resumed_by_another_number_of_processes(tiny, small, tmp_path, sizes):
    first, second = sizes
    assert together(trained, first, tiny, small, tmp_path, epochs=1) == [0] * first
    before = checkpoint.load(tmp_path / "checkpoint.pt")
    assert together(trained, second, tiny, small, tmp_path, epochs=2) == [0] * second
    after = checkpoint.load(tmp_path / "checkpoint.pt")
    assert after.keys() == before.keys()
    assert after["network"].keys() == before["network"].keys()
    assert after["history"][:1] == before["history"]
    assert [row["epoch"] for row in after["history"]] == [1, 2]
    assert (tmp_path / "model.pt").exists()


@pytest.mark.slow
def test_two_processes_twice_and_at_once_are_the_same_to_the_bit(tiny, small, tmp_path):
    settings = {"accumulate": 2, "ema": 0.9}
    assert together(trained, 2, tiny, small, tmp_path / "whole", epochs=3, **settings) == [0, 0]
    assert together(trained, 2, tiny, small, tmp_path / "parts", epochs=1, **settings) == [0, 0]
    assert together(trained, 2, tiny, small, tmp_path / "parts", epochs=3, **settings) == [0, 0]
    assert (tmp_path / "whole" / "model.pt").read_bytes() == (tmp_path / "parts" / "model.pt").read_bytes()


def dying(tiny, small, out):
    """Let the second process kill itself in the second epoch; the first must say what happened."""
    loss_terms, calls = loop.loss_terms, []

    def fatal(*arguments):
        calls.append(0)
        if len(calls) == STEPS + 2 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), signal.SIGKILL)
        return loss_terms(*arguments)

    loop.loss_terms = fatal
    with pytest.raises(TrainingError, match=r"Another process.*ended.*checkpoint\.pt\. Run the same command"):
        trained(tiny, small, out, epochs=3)


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_a_checkpoint_to_resume(tiny, small, tmp_path):
    assert together(dying, 2, tiny, small, tmp_path) == [0, -signal.SIGKILL]
    assert checkpoint.load(tmp_path / "checkpoint.pt")["epoch"] == 1
    assert not (tmp_path / "model.pt").exists()
    assert together(trained, 2, tiny, small, tmp_path, epochs=3) == [0, 0]
    assert checkpoint.load(tmp_path / "checkpoint.pt")["epoch"] == 3


def test_identities_stay_whole():
    with pytest.raises(TrainingError, match="16 identities cannot be split evenly among 3 processes"):
        Processes(ProcessGroup(0, 3, 0)).check_identities(16)
    shares = [Processes(ProcessGroup(rank, 4, rank)).share(64) for rank in range(4)]
    assert [(share.start, share.stop) for share in shares] == [(0, 16), (16, 32), (32, 48), (48, 64)]


@pytest.mark.parametrize(
    ("processes", "total", "synchronised", "refused"),
    [(1, 1, False, True), (1, 2, False, False), (2, 2, False, True), (2, 2, True, False), (4, 4, False, True)],
)
def test_a_batch_of_one_image_is_refused(processes, total, synchronised, refused):
    group = Processes(ProcessGroup(0, processes, 0))
    if not refused:
        group.check_share(total, synchronised)
        return
    message = "A batch has one image" + (" for each process" if total > 1 else " \\(")
    with pytest.raises(TrainingError, match=message):
        group.check_share(total, synchronised)


def one_image_each(tiny, small, out):
    """Train on batches of two images by two processes: each refuses."""
    with pytest.raises(TrainingError, match="A batch has one image for each process"):
        stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(identities=2, pictures=1))


def test_a_batch_of_one_image_for_each_process_is_refused(tiny, small, tmp_path):
    assert together(one_image_each, 2, tiny, small, tmp_path) == [0, 0]
    assert list(tmp_path.iterdir()) == []


def torchrun(tiny, folder, epochs, processes=2):
    """Start `dsa-train run` on the tiny dataset under torchrun."""
    scripts = Path(sys.executable).parent
    places = ["--manifest", tiny.manifest, "--dsap", tiny.dsap, "--out", folder / "run"]
    values = ["height=64", "width=32", "identities=4", "pictures=2", f"epochs={epochs}", "network.weights=none"]
    values += ["network.main.trunk=resnet18", "network.main.width=0.125"]
    command = [scripts / "torchrun", "--no-python", "--standalone", "--nproc-per-node", processes]
    command += [scripts / "dsa-train", "run", "--dataset", "market1501", *places]
    command += ["--set", f"warp.size={tiny.store().size}"]
    command += [part for value in values for part in ("--set", f"train.{value}")]
    (folder / "market1501").is_symlink() or (folder / "market1501").symlink_to(tiny.root)
    environment = os.environ | {"DSA_DATASETS": str(folder)}
    return subprocess.Popen([str(part) for part in command], env=environment, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_torchrun_trains_and_prints_what_happened_when_a_process_is_killed(tiny, tmp_path):
    path = tmp_path / "run" / "checkpoint.pt"
    run = torchrun(tiny, tmp_path, epochs=10_000)
    while not path.exists() or checkpoint.load(path)["epoch"] < 2:
        assert run.poll() is None, run.stderr.read()
        time.sleep(0.2)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(children[1]), signal.SIGKILL)
    _, printed = run.communicate(timeout=120)
    assert run.returncode != 0
    assert "Another process of this run has ended" in printed
    epochs = checkpoint.load(path)["epoch"] + 1

    run = torchrun(tiny, tmp_path, epochs, processes=1)
    _, printed = run.communicate(timeout=120)
    assert run.returncode == 0, printed
    assert f"resuming after {epochs - 1} epochs" in printed
    assert (tmp_path / "run" / "model.pt").exists()
