import json
import sys

import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_train.log import CHECK, EpochLosses, Log, Progress


def test_means_of_all_steps():
    losses = EpochLosses()
    for step in range(CHECK + 3):
        losses.add({"id": torch.tensor(1.0 + step), "triplet": torch.tensor(2.0)})
    assert losses.means() == {"loss": pytest.approx(9.0), "id": pytest.approx(7.0), "triplet": 2.0}
    assert losses.steps.shape == (CHECK + 3, 2)


def test_a_resumed_epoch_has_the_same_means():
    whole, first = EpochLosses(), EpochLosses()
    terms = [{"id": torch.rand(()), "triplet": torch.rand(())} for _ in range(7)]
    for step in terms:
        whole.add(step)
    for step in terms[:3]:
        first.add(step)
    second = EpochLosses(first.names, first.steps)
    for step in terms[3:]:
        second.add(step)
    assert second.means() == whole.means()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_named_by_step_and_term(value):
    losses = EpochLosses()
    for step in range(CHECK - 1):
        losses.add({"id": torch.tensor(1.0), "triplet": torch.tensor(value if step == 3 else 0.0)})
    with pytest.raises(TrainingError, match=rf"step 4 of the epoch, term triplet is {value}"):
        losses.add({"id": torch.tensor(1.0), "triplet": torch.tensor(0.0)})


HISTORY = [{"epoch": 1, "lr": 0.1, "train/loss": 2.0}, {"epoch": 2, "lr": 0.1, "train/loss": 1.0, "mAP": 0.5}]


def test_files_hold_the_history_and_nothing_else(tmp_path):
    with Log(tmp_path, HISTORY) as log:
        log.write({"epoch": 3, "lr": 0.1, "train/loss": 9.0})
    with Log(tmp_path, HISTORY[:1]) as log:  # the third and second were after the last checkpoint
        log.write(HISTORY[1])
    assert (tmp_path / "plots/metrics/train/loss.tsv").read_text().split() == ["step", "loss", "1", "2.0", "2", "1.0"]
    assert (tmp_path / "plots/metrics/mAP.tsv").read_text().split() == ["step", "mAP", "2", "0.5"]
    assert json.loads((tmp_path / "metrics.json").read_text())["step"] == 2


def test_nothing_is_written_where_dvc_would_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Log(tmp_path / "live", HISTORY):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["live"]


def test_tensorboard_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(TrainingError, match=r"train\.tensorboard=false.*pip install .*\[tensorboard\]"):
        Log(tmp_path, HISTORY, tensorboard=True)


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    with Log(tmp_path, HISTORY, tensorboard=True):
        pass
    assert len(list((tmp_path / "tensorboard").glob("events.*"))) == 1


def test_a_line_has_speed_and_time_left(capsys, monkeypatch):
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    progress = Progress(done=10, total=1000, images=64)
    losses = EpochLosses(["id_f_global", "id_z_global", "triplet_z_global"], torch.tensor([[1.0, 0.75, 0.75]]))
    lines = []
    for seconds, each in ((160, EpochLosses()), (166, losses), (172, losses), (183, EpochLosses())):
        now = float(seconds)
        progress.step(f"at {seconds} s", each)
        lines += capsys.readouterr().err.splitlines()
    loss = "loss 2.500 (id 1.750, triplet 0.750)"
    assert lines == [
        "at 160 s",  # neither loss nor rate is known; the first minute is the compiler's
        f"at 172 s: {loss}, 11 images a second, 1 h 38 min left",  # a step took 6 s
        f"at 183 s: {loss} in the epoch before, 8 images a second, 2 h 5 min left",
    ]
