import dataclasses
import hashlib
import json
import re
import shlex
import shutil
import signal

import pytest
import yaml
from click.testing import CliRunner

from densepose_extract import cli as extract_cli
from dsa_app.config import build, override, to_dict
from dsa_data import cli as data_cli
from dsa_data.images import read
from dsa_data.sets import SETS
from dsa_data.stores.dsap import DsapStore, pack, write_dsap
from dsa_train import checkpoint, loop, result_settings, run_settings, stage
from dsa_train.cli import main
from dsa_train.config import TrainConfig
from repository import ROOT

TRAIN = {
    "height": 64,
    "width": 32,
    "identities": 3,
    "pictures": 2,
    "epochs": 1,
    "network": {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8},
}


@pytest.fixture
def dsa_train(tiny, tmp_path, monkeypatch):
    """Run a command where the tiny dataset passes for market1501; return its result."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "market1501").symlink_to(tiny.root)
    made = tmp_path / "artifacts" / "market1501"
    made.mkdir(parents=True)
    shutil.copy(tiny.manifest, made)
    shutil.copy(tiny.dsap, made)
    params = tmp_path / "params.yaml"
    params.write_text(
        yaml.safe_dump({"dataset": "market1501", "experiment": "demo", "warp": {"size": 8}, "train": TRAIN})
    )
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.chdir(ROOT)

    def command(*arguments, params=params):
        options = ["--params", str(params)] if params else []
        return CliRunner().invoke(main, [*arguments, *options], catch_exceptions=False)

    return command


def test_from_training_to_a_table(dsa_train, tmp_path):
    made = tmp_path / "artifacts" / "market1501"
    trained = dsa_train("run")
    assert trained.exit_code == 0
    assert f"{made}/runs/demo/model.pt" in trained.output
    again = dsa_train("run")
    assert again.exit_code == 0
    assert "all 1 epochs are trained already" in again.output

    measured = dsa_train("evaluate")
    assert measured.exit_code == 0
    assert "chance mAP" in measured.output
    metrics = json.loads((made / "metrics.json").read_text())
    (kept,) = (made / "results" / "demo").glob("main-*.json")
    stored, made_by = json.loads(kept.read_text()), metrics["settings"]
    assert {**metrics, "settings": stored["settings"]}.items() <= stored.items()
    assert stored["settings"].items() <= made_by.items()
    assert made_by["dataset"] == "market1501"
    assert len(json.loads((made / "cmc.json").read_text())) == 50

    joint = dsa_train("evaluate", "--match", "fused", "--out", str(tmp_path / "fused.json"))
    assert joint.exit_code == 0
    assert json.loads((made / "metrics.json").read_text()) == metrics
    (kept,) = (made / "results" / "demo").glob("fused-*.json")
    assert json.loads(kept.read_text())["mAP"] == json.loads((tmp_path / "fused.json").read_text())["mAP"]

    told = dsa_train("report")
    assert told.exit_code == 0
    assert f"{100 * metrics['mAP']:.1f}" in told.output
    assert "dsa_reid.load reads it" in told.output


SMALL = [
    word
    for assignment in (
        "warp.size=8", "train.height=64", "train.width=32", "train.identities=3", "train.pictures=2", "train.epochs=1",
        "train.network.main.trunk=resnet18", "train.network.main.width=0.125", "train.network.weights=none",
        "train.network.classifier_width=8",
    )
    for word in ("--set", assignment)
]  # fmt: skip


@pytest.fixture
def counts_are_published(monkeypatch):
    """Take the tiny dataset's counts for those of Market-1501."""
    uncounted = dataclasses.replace(SETS["market1501"], published={}, cameras=None)
    monkeypatch.setitem(SETS, "market1501", uncounted)


def test_the_papers_row_stands_beside_its_own_images_and_training_alone(dsa_train, tmp_path, counts_are_published):
    market, made = ("--dataset", "market1501"), tmp_path / "artifacts" / "market1501"
    dsa_train("run", *market, *SMALL, params=None)
    run = made / "runs" / "paper"
    row = "the paper, Market-1501"
    assert row in dsa_train("evaluate", *market, params=None).output
    elsewhere = dsa_train("report", "--dataset", "market1501", "--mean", str(made / "metrics.json"), params=None).output
    assert row in elsewhere

    other = made / "other.csv"
    other.write_text("".join((made / "manifest.csv").read_text().splitlines(keepends=True)[:-1]))
    measured = dsa_train("evaluate", *market, "--manifest", str(other), "--run", str(run), params=None).output
    assert row not in measured
    assert "The paper's row is not shown: trained on images of another manifest." in measured
    assert row not in dsa_train("report", *market, params=None).output

    named = dsa_train("evaluate", *market, "--run", str(run), "--experiment", "table3/baseline", params=None)
    assert "76.4" not in named.output, "the run is not that experiment's"
    assert json.loads((made / "metrics.json").read_text())["settings"]["experiment"] == "paper"

    (run / "settings.json").unlink()
    measured = dsa_train("evaluate", *market, params=None).output
    assert row not in measured
    assert "it is not known which images the network was trained on" in measured


def test_fewer_images_are_not_the_papers(dsa_train, tmp_path):
    market = ("--dataset", "market1501")
    dsa_train("run", *market, *SMALL, params=None)
    measured = dsa_train("evaluate", *market, params=None).output
    assert "the paper, Market-1501" not in measured
    assert "The paper's row is not shown: the images are not those of market1501 (train has 22 images, " in measured


def other_part_images(path):
    """Replace a store by one of the same images and settings, from other maps."""
    with DsapStore(path) as store:
        chunks = []
        for row, digest in enumerate(store.digests):
            texels, valid = store.read(row)
            chunks.append(pack((255 - texels) * valid[..., None], valid, store.read_charts(row), digest, "1" * 64))
        configuration = {**store.header.configuration, "maps": {"engine": "import"}}
        header, size, keys = dataclasses.replace(store.header, configuration=configuration), store.size, store.keys
    path.unlink()
    write_dsap(path, header, size, list(keys), chunks)


def test_the_part_images_that_trained_a_network_decide_its_digest(dsa_train, tmp_path):
    """Runs of the same settings and images: twice from one store, and from one of other maps."""
    made = tmp_path / "artifacts" / "market1501"
    found = []
    for number in range(3):
        if number == 2:
            other_part_images(made / "dsap.h5")
        shutil.rmtree(made / "runs", ignore_errors=True)
        assert dsa_train("run").exit_code == 0
        dsa_train("evaluate")
        settings = json.loads((made / "runs" / "demo" / "settings.json").read_text())
        digest = json.loads((made / "metrics.json").read_text())["settings"]["digest"]
        found.append((settings["store"], digest, settings["values"], settings["manifest"], settings["experiment"]))
    again, first, other = found[1], found[0], found[2]
    assert first == again
    assert first[2:] == other[2:]
    assert first[0] != other[0]
    assert first[1] != other[1], "one digest would let the second result replace the first"
    assert len(list((made / "results" / "demo").iterdir())) == 2
    assert "maps: import" in dsa_train("experiments", "--dataset", "market1501", params=None).output


def test_a_run_of_before_settings_named_the_store_has_its_models_digest(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"model")
    content = {"format": run_settings.FORMAT, "version": run_settings.VERSION, "values": {}, "manifest": "aa"}
    content["model"] = hashlib.sha256(b"model").hexdigest()
    for maps, store in ((None, ""), ({"engine": "native", "model": "R_50", "bits": 16}, content["model"])):
        (tmp_path / "settings.json").write_text(json.dumps({**content, "maps": maps}))
        assert run_settings.read(tmp_path).store == store
    assert run_settings.read(tmp_path).maps == "native R_50 16 bits"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("artifacts/mine/runs/table3/dsa-reid", "table3/dsa-reid"),
        ("artifacts/mine/runs/demo.kept/0123-60", "demo"),
        ("artifacts/mine/runs/demo/model.pt", "demo"),
        ("models/mine.pt", "mine"),
    ],
)
def test_the_name_of_a_run_that_does_not_say_it(tmp_path, source, name):
    path = tmp_path / source
    path.mkdir(parents=True)
    if path.suffix == ".pt":
        path.rmdir()
        path.touch()
    assert run_settings.experiment_of(path) == name


def test_an_absent_model_names_the_run_that_was_kept(dsa_train, tmp_path):
    run = tmp_path / "artifacts" / "market1501" / "runs" / "demo"
    kept = run.with_name("demo.kept") / "0123-1"
    dsa_train("run")
    kept.parent.mkdir()
    run.rename(kept)
    (run / "live").mkdir(parents=True)  # as after a training that was killed before its first checkpoint
    for command in ("evaluate", "rank", "explain", "probe"):
        refused = dsa_train(command, *(["--run", str(run), "--iuv", str(kept)] if command == "probe" else []))
        assert refused.exit_code == 2
        assert f"a run of other settings is kept as {kept}. Use it: dsa-train {command} " in refused.output
        assert f"--run {kept}" in refused.output
    for arguments in (
        ["export", "x.onnx"],
        ["embed", "--out", "x.h5"],
        ["export", "x.onnx", "--model", f"{run}/model.pt"],
    ):
        options = ["--dataset", "market1501", "--experiment", "demo"]
        refused = CliRunner().invoke(main, [*arguments, *options])
        assert refused.exit_code == 2
        assert f"Name its model: --model {kept / 'model.pt'}" in refused.output


def test_a_remedy_with_a_run_does_not_name_another_experiment(dsa_train, tmp_path):
    dsa_train("run")
    refused = dsa_train("evaluate", "--dataset", "market1501", "--experiment", "table3/baseline", params=None)
    assert f"--run {tmp_path / 'artifacts' / 'market1501' / 'runs' / 'demo'}" in refused.output
    assert "--experiment" not in refused.output.partition("Use one:")[2].partition("; or")[0]


def test_a_number_says_what_made_it_through_every_command(dsa_train, tmp_path, monkeypatch, counts_are_published):
    """The README's own commands, with the paper's values made small: the row shows the run, and no other."""
    made = tmp_path / "artifacts" / "market1501"
    market = ("--dataset", "market1501")
    assert dsa_train("run", *market, *SMALL, params=None).exit_code == 0
    settings = json.loads((made / "runs" / "paper" / "settings.json").read_text())
    assert settings["values"]["train.network.main.width"] == 0.125
    assert settings["values"]["warp.size"] == 8
    measured = dsa_train("evaluate", *market, params=None).output
    assert "the paper, Market-1501" in measured
    assert "Settings other than those of table3/dsa-reid: train.epochs=1, " in measured
    assert measured.splitlines()[:-1] == dsa_train("report", *market, params=None).output.splitlines()[: 4 + 2]
    table = dsa_train("experiments", *market, params=None).output
    assert "paper main" in table.partition("Other results")[2]
    assert "seed" not in table

    own = override({}, SMALL[1::2])
    values = result_settings.of_training(to_dict(build(TrainConfig, own["train"], "test")), own["warp"], None)
    monkeypatch.setattr(result_settings, "of_row", lambda name: values if name == "table3/dsa-reid" else {})
    table = dsa_train("experiments", *market, params=None).output
    assert "Other results" not in table
    assert [line[8:30].strip() for line in table.splitlines() if "not yet" not in line and " main" in line] == [
        "Only MF-Stream", "DSA", "Elem-add",
    ]  # fmt: skip
    flipped = dsa_train("evaluate", *market, "--set", "evaluate.flip=true", params=None).output
    assert "the paper" not in flipped
    table = dsa_train("experiments", *market, params=None).output
    assert table.partition("Other results")[2].rstrip().endswith("evaluate.flip=true")

    (made / "runs" / "paper" / "settings.json").unlink()  # as of an earlier version
    assert "unknown settings" in dsa_train("evaluate", *market, params=None).output
    assert "trained already" in dsa_train("run", *market, *SMALL, params=None).output
    assert json.loads((made / "runs" / "paper" / "settings.json").read_text()) == settings
    dsa_train("evaluate", *market, params=None)
    assert "settings.json" in dsa_train("report", *market, params=None).output


def test_settings_are_those_of_the_model_beside_them(dsa_train, tmp_path):
    run = tmp_path / "artifacts" / "market1501" / "runs" / "demo"
    dsa_train("run")
    first = (run / "settings.json").read_bytes()
    assert dsa_train("run", "--set", "train.epochs=2").exit_code == 0  # resumed
    second = json.loads((run / "settings.json").read_text())
    assert second["values"]["train.epochs"] == 2
    assert run_settings.read(run).values == second["values"]
    assert run_settings.read(run / "model.pt") == run_settings.read(run)
    (run / "settings.json").write_bytes(first)  # as after a partial checkout
    assert run_settings.read(run) is None
    for broken in (b"", b"[]", b"{}", b'{"format": 1}'):
        (run / "settings.json").write_bytes(broken)
        assert run_settings.read(run) is None


def test_an_absent_run_names_the_others(dsa_train, tmp_path):
    runs = tmp_path / "artifacts" / "market1501" / "runs"
    dsa_train("run")
    for command in ("evaluate", "rank"):
        refused = dsa_train(command, "--dataset", "market1501", params=None)
        assert refused.exit_code == 2
        assert f"{runs / 'paper'} does not exist, but there is another run, {runs / 'demo'}." in refused.output
        remedy = re.search(rf"Use one: dsa-train ({command} .*?); or train first", refused.output)[1]
        assert dsa_train(*shlex.split(remedy), params=None).exit_code == 0
    refused = CliRunner().invoke(main, ["export", "--dataset", "market1501", str(tmp_path / "model.onnx")])
    assert refused.exit_code == 2
    assert f"Name its model: --model {runs / 'demo' / 'model.pt'}" in refused.output
    for name in "abc":
        shutil.copytree(runs / "demo", runs / "mine" / name)
    refused = dsa_train("evaluate", "--dataset", "market1501", params=None)
    assert "but there are other runs, " in refused.output
    assert " and 1 more. Use one" in refused.output


@pytest.mark.slow
@pytest.mark.parametrize(
    "trunk", ["timm/convnext_atto", "timm/swin_tiny_patch4_window7_224", "timm/vit_tiny_patch16_224", "resnet50_ibn"]
)
def test_other_trunks_learn_under_the_guide(dsa_train, tmp_path, trunk):
    if trunk.startswith("timm/"):
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    main = {"trunk": trunk, "width": 1.0 if trunk.startswith("timm/") else 0.125, "size": "[64,32]"}
    settings = [item for name, value in main.items() for item in ("--set", f"train.network.main.{name}={value}")]
    trained = dsa_train("run", *settings)
    assert trained.exit_code == 0, trained.output
    optimiser = checkpoint.load(tmp_path / "artifacts/market1501/runs/demo/checkpoint.pt")["optimiser"]
    assert set(optimiser["state"]) == set(optimiser["param_groups"][0]["params"]), "every weight had a gradient"
    measured = dsa_train("evaluate")
    assert measured.exit_code == 0, measured.output


def test_json_cameras_and_rankings(dsa_train, tmp_path):
    dsa_train("run")
    told = dsa_train("evaluate", "--json", "--cameras")
    assert told.exit_code == 0
    measured = json.loads(told.stdout)
    assert measured["queries"] == 4
    assert {(one["query"], one["gallery"]) for one in measured["cameras"]} == {(1, 2), (1, 3)}
    assert "gallery 3" in dsa_train("evaluate", "--cameras").output
    by_view = dsa_train("evaluate", "--views")
    assert by_view.exit_code == 2
    assert "scenes.csv does not exist" in by_view.output

    rankings = tmp_path / "artifacts" / "market1501" / "rankings"
    assert dsa_train("rank", "--count", "2", "--top", "3").exit_code == 0
    assert dsa_train("rank", "query/0031_c1s1_000000_00.png").exit_code == 0
    assert sorted(path.name for path in rankings.iterdir()) == ["best.png", "rank.png", "worst.png"]
    nobody = dsa_train("rank", "query/0031_c1s1_000000_01.png")
    assert nobody.exit_code == 2
    assert "Did you mean 'query/0031_c1s1_000000_00.png'" in nobody.output


def test_a_mean_of_splits_is_reported(dsa_train, tmp_path):
    dsa_train("run")
    dsa_train("evaluate")
    first = tmp_path / "artifacts" / "market1501" / "metrics.json"
    second = shutil.copy(first, tmp_path / "second.json")
    assert "8 queries" in dsa_train("report", "--mean", str(first), "--mean", str(second)).output
    refused = dsa_train("report", "--mean", str(first), "--mean", str(first))
    assert refused.exit_code == 2
    assert "metrics.json is named twice with --mean" in refused.output


def test_show_batch(dsa_train, tmp_path):
    out = tmp_path / "batch.png"
    assert dsa_train("show-batch", "--identities", "2", "--out", str(out)).exit_code == 0
    legend = 7 * 18 + 6  # the names of the charts, in lines of this narrow page
    assert read(out).shape == (2 * (6 * 33 + 26) + legend, 2 * (99 + 2 + 4 * 33 + 2 + 6), 3)


def test_summary_and_experiments(dsa_train):
    told = dsa_train("summary")
    assert told.exit_code == 0
    assert "conv5_g" in told.output
    listed = dsa_train("experiments", params=None)
    assert listed.exit_code == 0
    assert "Global (Joint)" in listed.output


def test_a_signal_ends_the_command_as_a_shell_expects(dsa_train, monkeypatch):
    def stopped(*arguments, **settings):
        raise loop.StoppedError("Interrupted. Run the same command to resume.", signal.SIGTERM)

    monkeypatch.setattr(stage, "run", stopped)
    result = dsa_train("run")
    assert result.exit_code == 128 + signal.SIGTERM
    assert "Run the same command to resume" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--set", "train.epoch=2"], "unknown setting 'epoch'. Did you mean 'epochs'?"),
        (["run", "--set", "train.network.main.width=0.3"], "width = 0.3 is invalid"),
        (["run", "--set", "train.device=cuda:9"], "Device 'cuda:9' cannot be used"),
        (["run", "--set", "warp.size=16"], "size was 8, this run wants 16"),
        (["run", "--experiment", "table3/dsa-read"], "Did you mean 'table3/dsa-reid'?"),
        (["evaluate"], "runs/demo does not exist. Train first"),
        (["rank"], "runs/demo does not exist. Train first"),
        (["evaluate", "--manifest", "nowhere.csv"], "nowhere.csv does not exist. List the images first"),
        (["report"], "metrics.json does not exist"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(dsa_train, arguments, message):
    result = dsa_train(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_oddly_damaged_files_are_named(dsa_train, tmp_path):
    dsa_train("run")
    run = tmp_path / "artifacts" / "market1501" / "runs" / "demo"
    for name in ("model.pt", "checkpoint.pt"):
        (run / name).write_bytes(b"not a network")
    for arguments in (["run"], ["evaluate"], ["evaluate", "--match", "local"]):
        result = dsa_train(*arguments)
        assert result.exit_code == 2
        assert ".pt is" in result.output


@pytest.mark.parametrize(
    ("group", "arguments"),
    [
        (main, ["show-batch", "--identities", "0"]),
        (main, ["show-batch", "--epoch", "-1"]),
        (main, ["explain", "--seed", "-1"]),
        (data_cli.main, ["sheet", "--seed", "-1"]),
        (extract_cli.main, ["show", "--sheet", "4", "--seed", "-1"]),
    ],
)
def test_numbers_out_of_range_are_refused_before_anything_is_read(group, arguments):
    found = CliRunner().invoke(group, arguments)
    assert found.exit_code == 2
    assert "is not in the range" in found.output
