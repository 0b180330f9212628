import dataclasses
import json
import os
import shutil
import signal
import threading

import numpy as np
import pytest
import torch
from scipy.io import savemat

from dsa_app.errors import BusyError, CheckpointError, ConfigError, DatasetError, StoreError, TrainingError
from dsa_data.records import read_manifest, write_manifest
from dsa_reid.errors import ModelError
from dsa_reid.model import load
from dsa_train import checkpoint, loop, stage
from dsa_train.batches.augment import mirror_table
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.stopping import StoppedError
from dsap.config import WarpConfig
from finished import content
from processes import fresh

STEPS = 4  # in an epoch: 1 + 2 + 2 + 2 + 3 + 2 groups of two pictures, three identities at a time


@pytest.fixture(scope="module")
def whole(tiny, small, tmp_path_factory):
    """A run of four epochs that nothing disturbed."""
    out = tmp_path_factory.mktemp("whole")
    stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(epochs=4))
    return out


def at(call: int, what):
    """Return a stand-in for the losses that does `what` before they are computed for the `call`-th time."""
    calls = []

    def loss_terms(*arguments):
        calls.append(0)
        if len(calls) == call:
            what()
        return losses(*arguments)

    losses = loop.loss_terms
    return loss_terms


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def killed(work, *arguments):
    """Do `work` in another process and see that it kills itself."""
    assert fresh(work, *arguments)() == -signal.SIGKILL


def test_two_and_two_epochs_are_four_to_the_bit(whole, train, tmp_path):
    train(tmp_path, epochs=2)
    train(tmp_path, epochs=4)
    assert content(tmp_path) == content(whole)


def test_a_batch_of_one_image_is_refused_before_anything_is_written(train, tmp_path):
    with pytest.raises(TrainingError, match=r"A batch has one image .*train\.pictures=4"):
        train(tmp_path / "run", identities=1, pictures=1)
    assert list(tmp_path.iterdir()) == []


def test_a_training_on_one_identity_is_refused(tiny, small, tmp_path):
    records = [record for record in tiny.records("train", "query", "gallery") if record.pid in (11, 31)]
    manifest = write_manifest(records, tmp_path / "manifest.csv")
    for identities in (1, 2):
        with pytest.raises(TrainingError, match="images of 1 identity"):
            stage.run(manifest, tiny.root, tiny.dsap, tmp_path / "run", small(identities=identities))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def symmetry_file(path, swap):
    """Write a table like DensePose's: all points stay where they are, or u and v change places."""
    u, v = np.meshgrid(np.arange(256) / 255, np.arange(256) / 255)  # [v, u]
    cells = np.empty((2, 1, 24), object)
    for chart in range(24):
        cells[0, 0, chart], cells[1, 0, chart] = (v, u) if swap else (u, v)
    savemat(path, {"U_transforms": cells[0], "V_transforms": cells[1]})
    return path


def test_a_table_of_symmetry_mirrors_the_training_images(tiny, small, train, tmp_path):
    store, records = tiny.store(), tiny.records("train")

    def mirror(**augment):
        return stage.open_training_set(tiny.root, records, store, small(augment=augment)).mirror

    plain, swapped = (symmetry_file(tmp_path / f"{swap}.mat", swap) for swap in (False, True))
    assert torch.equal(mirror(symmetry=str(swapped)), mirror_table("fine", store.size, swapped))
    assert not torch.equal(mirror(symmetry=str(swapped)), mirror(symmetry=str(plain)))
    assert not torch.equal(mirror(symmetry=str(plain)), mirror())

    def configuration(**augment):
        return stage.run_configuration(small(augment=augment), records, store)["train"]["augment"]

    assert "symmetry" not in configuration()  # as in the checkpoints of before the setting
    copy = shutil.copy(plain, tmp_path / "copy.mat")
    assert configuration(symmetry=str(plain)) == configuration(symmetry=str(copy))
    assert configuration(symmetry=str(plain)) != configuration(symmetry=str(swapped))


@pytest.mark.parametrize("content", [None, b"", b"MATLAB 5.0 MAT-file" + bytes(200), b"no MATLAB file"])
def test_a_table_of_symmetry_that_cannot_be_read_is_named(train, tmp_path, content):
    path = tmp_path / "UV_symmetry_transforms.mat"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"UV_symmetry_transforms\.mat (does not exist|is not a UV)"):
        train(tmp_path / "run", augment={"symmetry": str(path)})


def test_a_table_of_symmetry_without_fine_parts_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is for DensePose's 24 charts, and the DSAP has parts 'coarse'"):
        mirror_table("coarse", 8, tmp_path / "UV_symmetry_transforms.mat")


def test_from_disk_as_from_memory(whole, train, tmp_path, capsys):
    train(tmp_path, epochs=4, memory=1e-9, workers=3)
    assert "read from disk" in capsys.readouterr().err
    assert content(tmp_path) == content(whole)


def die_in_an_epoch(train, out):
    loop.loss_terms = at(2 * STEPS + 2, die)
    train(out, epochs=4)


def test_killed_in_the_middle_of_an_epoch(whole, train, tmp_path):
    killed(die_in_an_epoch, train, tmp_path)
    assert checkpoint.load(tmp_path / "checkpoint.pt")["epoch"] == 2
    assert not (tmp_path / "model.pt").exists()
    train(tmp_path, epochs=4)
    assert content(tmp_path) == content(whole)


def die_in_a_checkpoint(train, out):
    before = (out / "checkpoint.pt").read_bytes()

    def half(state, file):
        file.write(before[: len(before) // 2])
        file.flush()
        die()

    torch.save = half
    train(out, epochs=4)


def test_killed_in_the_middle_of_a_checkpoint(whole, train, tmp_path):
    train(tmp_path, epochs=2)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    killed(die_in_a_checkpoint, train, tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    train(tmp_path, epochs=4)
    assert content(tmp_path) == content(whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_finish_and_the_run_is_resumed(whole, train, tmp_path, monkeypatch, number):
    handler = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "loss_terms", at(6, lambda: os.kill(os.getpid(), number)))
        with pytest.raises(StoppedError, match="Run the same command to resume") as stopped:
            train(tmp_path, epochs=4)
    assert stopped.value.number == number
    assert signal.getsignal(number) == handler
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    assert (state["epoch"], state["step"]) == divmod(6, STEPS)
    train(tmp_path, epochs=4)
    assert content(tmp_path) == content(whole)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_checkpoint(train, tmp_path, monkeypatch):
    train(tmp_path, epochs=1)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    losses, calls = loop.loss_terms, []

    def broken(*arguments):
        calls.append(0)
        found = losses(*arguments)
        return {**found, "triplet_z_local": found["triplet_z_local"] * (float("nan") if len(calls) >= 2 else 1)}

    monkeypatch.setattr(loop, "loss_terms", broken)
    with pytest.raises(TrainingError, match=r"step 2 of the epoch, term triplet_z_local is nan.*train\.schedule\.lr"):
        train(tmp_path, epochs=3)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_out_of_memory_names_the_batch_and_the_settings_to_change(train, tmp_path, monkeypatch):
    def no_room():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loop, "loss_terms", at(2, no_room))
    with pytest.raises(TrainingError, match=r"batches of 6 images of 64x32.*train\.identities"):
        train(tmp_path)


def test_a_finished_run_prints_so_when_run_again(whole, train, capsys):
    before = content(whole)
    assert train(whole, epochs=4) == whole / "model.pt"
    assert "all 4 epochs are trained already" in capsys.readouterr().err
    assert content(whole) == before


def test_a_model_is_written_where_only_it_is_missing(train, tmp_path):
    train(tmp_path)
    before = content(tmp_path)
    (tmp_path / "model.pt").unlink()
    train(tmp_path)
    assert content(tmp_path) == before


def test_the_model_is_that_of_the_checkpoint_to_the_bit(whole):
    state = checkpoint.load(whole / "checkpoint.pt")["network"]
    model = load(whole / "model.pt").main_stream.state_dict()
    assert model.keys() == {name.removeprefix("main.") for name in state if name.startswith("main.")}
    assert all(torch.equal(value, state[f"main.{name}"]) for name, value in model.items())


def test_another_configuration_is_refused_naming_what_differs_or_replaced(train, tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=r"train\.seed was 0, this run wants 1.*\n.*--overwrite"):
        train(tmp_path, epochs=1, seed=1)
    with pytest.raises(CheckpointError, match=r"train\.losses\.margin was 0\.3, this run wants 0\.5"):
        train(tmp_path, epochs=1, losses={"margin": 0.5})
    before = content(tmp_path)
    train(tmp_path, epochs=1, overwrite=True)
    assert content(tmp_path) == before, "of the same configuration nothing is thrown away"
    train(tmp_path, epochs=1, seed=1, overwrite=True)
    assert content(tmp_path) != before


def test_fewer_epochs_are_another_run(train, tmp_path):
    train(tmp_path, epochs=2)
    with pytest.raises(CheckpointError, match="epochs was 2, this run wants 1"):
        train(tmp_path, epochs=1)
    train(tmp_path, epochs=1, overwrite=True)
    assert checkpoint.load(tmp_path / "checkpoint.pt")["epoch"] == 1


def test_other_data_is_refused(train, tiny, small, tmp_path):
    train(tmp_path / "run", epochs=1)
    lines = tiny.manifest.read_text().splitlines(keepends=True)
    fewer = tmp_path / "manifest.csv"
    fewer.write_text("".join(line for line in lines if "bounding_box_train/0011" not in line))
    with pytest.raises(CheckpointError, match="identities was 6, this run wants 5"):
        stage.run(fewer, tiny.root, tiny.dsap, tmp_path / "run", small(epochs=1))


def test_two_runs_in_one_folder(train, tmp_path, monkeypatch):
    seen = []

    def second():
        with pytest.raises(BusyError, match="Another process is training"):
            train(tmp_path)
        seen.append(1)

    monkeypatch.setattr(loop, "loss_terms", at(1, second))
    train(tmp_path, epochs=1)
    assert seen


def test_signals_of_a_run_in_another_thread_are_left_alone(train, tmp_path):
    """A notebook or a server may train beside its main thread, which alone may handle signals."""
    worker = threading.Thread(target=train, args=(tmp_path,), kwargs={"epochs": 1})
    worker.start()
    worker.join(60)
    assert (tmp_path / "model.pt").exists()


def test_deterministic_gives_the_same_bits_twice(train, tmp_path):
    try:
        train(tmp_path / "one", epochs=1, deterministic=True)
        train(tmp_path / "two", epochs=1, deterministic=True)
    finally:
        torch.use_deterministic_algorithms(False)
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_another_seed_is_another_run(train, tmp_path):
    train(tmp_path / "one", epochs=1)
    train(tmp_path / "two", epochs=1, seed=5)
    assert content(tmp_path / "one") != content(tmp_path / "two")


def test_bfloat16_and_every_term_by_name(train, tmp_path):
    train(tmp_path, epochs=1, precision="bfloat16")
    (row,) = checkpoint.load(tmp_path / "checkpoint.pt")["history"]
    terms = {name: value for name, value in row.items() if name.startswith("train/") and name != "train/loss"}
    assert len(terms) == 13
    assert row["train/loss"] == pytest.approx(sum(terms.values()))


def test_it_learns(train, tmp_path):
    """Without augmentation and smoothing the six colours are separated within a few dozen steps."""
    out = train(
        tmp_path,
        epochs=10,
        identities=6,
        pictures=4,
        schedule={"warmup": 0, "lr": 0.01},
        augment={"erase": 0, "pad": 0},
        losses={"smoothing": 0},
        weight_decay=0,
        network={"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 32},
    )
    history = checkpoint.load(out.with_name("checkpoint.pt"))["history"]
    assert history[-1]["train/loss"] < 0.5 * history[0]["train/loss"]


def test_evaluation_every_few_epochs_is_logged_and_changes_nothing(whole, train, tmp_path):
    train(tmp_path, epochs=4, evaluate_every=3)
    history = checkpoint.load(tmp_path / "checkpoint.pt")["history"]
    assert [row["epoch"] for row in history if "mAP" in row] == [3, 4]
    assert (tmp_path / "model.pt").read_bytes() == (whole / "model.pt").read_bytes()
    assert json.loads((tmp_path / "live" / "metrics.json").read_text())["mAP"] == history[-1]["mAP"]


def test_one_stream_needs_no_dsap(tiny, small, tmp_path):
    network = {"guide": False, "main": {"trunk": "resnet18", "width": 0.125, "heads": "global"}, "weights": "none"}
    stage.run(tiny.manifest, tiny.root, tmp_path / "none.h5", tmp_path / "run", small(epochs=1, network=network))
    (row,) = checkpoint.load(tmp_path / "run" / "checkpoint.pt")["history"]
    assert {"train/id_f_global", "train/triplet_f_global"} <= row.keys()
    assert len(row) == 5


def test_bad_input_is_named(tiny, small, tmp_path):
    def run(config=None, manifest=tiny.manifest, dsap=tiny.dsap, warp=None):
        stage.run(manifest, tiny.root, dsap, tmp_path / "run", config or small(), warp)

    with pytest.raises(TrainingError, match="needs 16 identities, the training split has 6"):
        run(small(identities=16))
    with pytest.raises(StoreError, match=r"none\.h5 does not exist"):
        run(dsap=tmp_path / "none.h5")
    with pytest.raises(StoreError, match="size was 8, this run wants 32"):
        run(warp=WarpConfig())
    with pytest.raises(DatasetError, match=r"none\.csv does not exist"):
        run(manifest=tmp_path / "none.csv")
    with pytest.raises(TrainingError, match="Device 'cuda:7' cannot be used"):
        run(small(device="cuda:7"))
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_timm_trunk_is_built_for_the_images_size_and_trains(tiny, small, tmp_path):
    pytest.importorskip("timm", reason="the extra `timm` is not installed")

    def run(**size):
        main = {"trunk": "timm/convnext_atto", **size}
        network = {"main": main, "weights": "none", "classifier_width": 8}
        stage.run(tiny.manifest, tiny.root, tiny.dsap, tmp_path, small(epochs=1, network=network))

    with pytest.raises(ConfigError, match=r"built for images of 96x32, the run's are 64x32.*size out"):
        run(size=[96, 32])
    run()
    made = load(tmp_path / "model.pt").main_stream.config
    assert (made.trunk, tuple(made.size)) == ("timm/convnext_atto", (64, 32))


def test_a_damaged_checkpoint_is_refused_or_replaced(whole, train, tmp_path):
    train(tmp_path, epochs=1)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt is truncated, or not a checkpoint"):
        train(tmp_path, epochs=4)
    train(tmp_path, epochs=4, overwrite=True)
    assert content(tmp_path) == content(whole)


def test_weights_that_are_not_finite_replace_no_checkpoint(train, tmp_path):
    """One step an epoch, whose loss is still fine: the step itself spoils the weights."""
    out = tmp_path / "run"
    with pytest.raises(TrainingError, match=r"weights are not finite after 1 epochs and 0 steps \(main\.trunk"):
        train(out, identities=6, pictures=5, epochs=1, schedule={"warmup": 0, "lr": 1e39})
    assert not (out / "model.pt").exists()
    assert not (out / "checkpoint.pt").exists()


def test_a_damaged_model_of_a_finished_run_is_written_again(train, tmp_path):
    model = train(tmp_path / "run", epochs=1)
    good = model.read_bytes()
    model.write_bytes(good[: len(good) // 2])
    train(tmp_path / "run", epochs=1)
    assert model.read_bytes() == good


def test_a_run_of_other_settings_is_kept_and_comes_back(train, tmp_path, capsys):
    out = tmp_path / "run"
    first = train(out, epochs=2).read_bytes()
    other = train(out, epochs=1, seed=1, overwrite=True).read_bytes()
    assert other != first
    assert "is kept as" in capsys.readouterr().err
    trained = loop.train
    loop.train = None  # it would fail: nothing is trained again
    try:
        assert train(out, epochs=2, overwrite=True).read_bytes() == first
        assert train(out, epochs=1, seed=1, overwrite=True).read_bytes() == other
    finally:
        loop.train = trained


@pytest.mark.parametrize("where", ["_load_images", "_start_or_resume", "loop.train"])
def test_a_run_comes_back_if_the_next_is_ended_before_its_first_checkpoint(train, tmp_path, monkeypatch, capsys, where):
    out = tmp_path / "run"
    first = train(out, epochs=1).read_bytes()
    files = sorted(path.relative_to(out) for path in out.rglob("*"))

    def interrupted(*arguments, **settings):
        (out / "live").mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"dsa_train.stage.{where}", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(out, epochs=1, seed=1, overwrite=True)
    assert (out / "model.pt").read_bytes() == first
    assert sorted(path.relative_to(out) for path in out.rglob("*")) == files
    assert "The earlier run is back in" in capsys.readouterr().err
    assert train(out, epochs=1, seed=1, overwrite=True).read_bytes() != first


def test_a_run_of_fewer_epochs_is_kept_too(train, tmp_path):
    out = tmp_path / "run"
    full = train(out, epochs=2).read_bytes()
    train(out, epochs=1, overwrite=True)
    assert train(out, epochs=2, overwrite=True).read_bytes() == full
    assert len(list((tmp_path / "run.kept").iterdir())) == 1


def test_a_model_of_another_training_is_written_again(train, tmp_path):
    """As after `dvc checkout`, which brings model.pt back and not the checkpoint."""
    model = train(tmp_path / "a", epochs=1)
    right = model.read_bytes()
    model.write_bytes(train(tmp_path / "b", epochs=1, seed=1).read_bytes())
    assert train(tmp_path / "a", epochs=1).read_bytes() == right


def test_evaluations_during_training_obey_their_settings(tiny, small, tmp_path):
    """Every image of one camera: no match counts, unless cameras are ignored; that is refused before the first step."""
    records = [dataclasses.replace(record, camid=1) for record in read_manifest(tiny.manifest)]
    manifest = write_manifest(records, tmp_path / "manifest.csv")
    config = small(epochs=1, evaluate_every=1)
    with pytest.raises(TrainingError, match=r"evaluate\.cameras=ignore"):
        stage.run(manifest, tiny.root, tiny.dsap, tmp_path / "run", config)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()
    ignoring = EvaluateConfig(cameras="ignore")
    stage.run(manifest, tiny.root, tiny.dsap, tmp_path / "run", config, evaluation=ignoring)
    assert 0 < checkpoint.load(tmp_path / "run" / "checkpoint.pt")["history"][-1]["mAP"] <= 1


def test_an_evaluation_that_fails_loses_no_epoch(tiny, small, tmp_path, monkeypatch):
    def fails(*_):
        raise TrainingError("no")

    monkeypatch.setattr(loop, "measure", fails)
    with pytest.raises(TrainingError, match="no"):
        stage.run(tiny.manifest, tiny.root, tiny.dsap, tmp_path, small(epochs=2, evaluate_every=1, save_every=2))
    assert checkpoint.load(tmp_path / "checkpoint.pt")["epoch"] == 1


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"weights": "imagenet"}, "ImageNet weights could not be downloaded"),
        ({"weights": "nowhere.pt"}, r"nowhere\.pt does not exist"),
        ({"weights": "a folder"}, r"a folder/checkpoint\.pt does not exist"),
        ({"weights": "imagenet", "main": {"trunk": "timm/convnext_atto", "size": [64, 32]}}, "could not be downloaded"),
    ],
)
def test_pretrained_weights_are_fetched_before_a_network_is_built(tiny, train, tmp_path, monkeypatch, network, message):
    """The paper's network takes half a minute to initialise: without a connection, the error comes before."""

    def offline(*_, **__):
        raise OSError("no connection")

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a folder").mkdir()
    monkeypatch.setattr(stage, "TwoStream", lambda *_: pytest.fail("a network was built"))
    monkeypatch.setattr("torch.hub.download_url_to_file", offline)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    if "main" in network:
        timm = pytest.importorskip("timm")
        create = timm.create_model
        monkeypatch.setattr(timm, "create_model", lambda *a, **kw: (offline if kw["pretrained"] else create)(*a, **kw))
    main = {"trunk": "resnet18", **network.get("main", {})}
    with pytest.raises((CheckpointError, ModelError), match=message):
        train(tmp_path / "runs" / "paper", network={**network, "main": main})
    assert not (tmp_path / "runs").exists(), "a refused training leaves no folder"
