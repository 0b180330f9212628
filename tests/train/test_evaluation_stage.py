import dataclasses
import fcntl
import json
import shutil

import h5py
import pytest

from dsa_app.errors import BusyError, DatasetError, StoreError, TrainingError
from dsa_data.records import write_manifest
from dsa_reid.errors import ModelError
from dsa_reid.model import load, save
from dsa_train import evaluation_stage as module
from dsa_train import stage
from dsa_train.evaluation import kept_features
from dsa_train.evaluation.config import EvaluateConfig, protocol
from dsa_train.evaluation_stage import Task, evaluate, write
from dsap.config import WarpConfig


@pytest.fixture(scope="module")
def finished(tiny, small, tmp_path_factory):
    """A trained network with both streams."""
    out = tmp_path_factory.mktemp("finished")
    stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(epochs=2, schedule={"warmup": 0, "lr": 0.002}))
    return out


def task(tiny, source, **changes) -> Task:
    return dataclasses.replace(Task(tiny.manifest, tiny.root, tiny.dsap, source), **changes)


def test_only_the_main_stream_is_used_and_needed(tiny, finished, tmp_path):
    alone = tmp_path / "model.pt"
    alone.write_bytes((finished / "model.pt").read_bytes())
    nowhere = tmp_path / "none.h5"
    metrics, cmc, pairs, views = evaluate(task(tiny, alone, dsap=nowhere), EvaluateConfig())
    assert metrics == evaluate(task(tiny, finished, dsap=nowhere), EvaluateConfig()).metrics
    assert metrics.keys() >= {"rank1", "rank5", "rank10", "mAP", "mINP", "chance_mAP"}
    assert all(0 <= metrics[name] <= 1 for name in ("rank1", "rank5", "rank10", "mAP", "mINP", "chance_mAP"))
    assert (metrics["queries"], metrics["queries_left_out"], metrics["gallery"]) == (4, 0, 12)
    assert cmc[0] == metrics["rank1"]
    assert (pairs, views) == ({}, {})


def test_by_view_where_views_are_known_and_refused_before_any_work_where_not(tiny, finished, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(module, "query_and_gallery", None)  # it would fail
        with pytest.raises(DatasetError, match=r"scenes\.csv does not exist: views are known only for a synthetic"):
            evaluate(task(tiny, finished), EvaluateConfig(), by_view=True)
    root = tmp_path / "drawn"
    shutil.copytree(tiny.root, root)
    rows = [f"{one.key},{30 * number}" for number, one in enumerate(tiny.records())]
    (root / "scenes.csv").write_text("\n".join(["key,view_degrees", *rows]))
    found = evaluate(task(tiny, finished, root=root), EvaluateConfig(), by_view=True)
    assert found.metrics == evaluate(task(tiny, finished), EvaluateConfig()).metrics
    assert 2 <= len(found.views) <= 4
    assert all(one.queries <= 4 for one in found.views.values())
    (root / "scenes.csv").write_text("\n".join(["key,view_degrees", *rows[:-1]]))
    with pytest.raises(DatasetError, match="has no view for"):
        evaluate(task(tiny, finished, root=root), EvaluateConfig(), by_view=True)


@pytest.mark.parametrize("match", ["fused", "global", "local"])
def test_the_joint_rows_come_from_the_checkpoint(tiny, finished, match):
    config = EvaluateConfig(match=match)
    assert 0 < evaluate(task(tiny, finished), config).metrics["mAP"] <= 1
    with pytest.raises(StoreError, match="does not exist"):
        evaluate(task(tiny, finished, dsap=finished / "none.h5"), config)
    with pytest.raises(StoreError, match="parts was fine, this run wants coarse"):
        evaluate(task(tiny, finished, warp=WarpConfig(size=8, parts="coarse")), config)


def test_features_are_extracted_once_and_again_for_another_model(tiny, finished, tmp_path, capsys, monkeypatch):
    first = evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig())
    assert first.metrics == evaluate(task(tiny, finished), EvaluateConfig()).metrics
    made = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.h5"))
    assert made == ["main/gallery.h5", "main/query.h5"]
    with monkeypatch.context() as patch:
        patch.setattr(kept_features, "extract_batches", None)  # it would fail
        assert evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig()).metrics == first.metrics
    other = tmp_path / "other.pt"
    model = load(finished / "model.pt")
    save(model.main_stream, other, dataclasses.replace(model.preprocessing, std=(1.0, 1.0, 1.0)))
    capsys.readouterr()
    found = evaluate(task(tiny, other, keep=tmp_path), EvaluateConfig()).metrics
    assert "was made with other settings: origin." in capsys.readouterr().err
    assert found == evaluate(task(tiny, other), EvaluateConfig()).metrics


def test_damaged_features_are_extracted_again(tiny, finished, tmp_path, capsys):
    first = evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig())
    path = tmp_path / "main" / "gallery.h5"
    path.write_bytes(path.read_bytes()[:-30])
    assert evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig()).metrics == first.metrics
    assert "are extracted again" in capsys.readouterr().err


def test_kept_features_in_use_and_other_files_are_not_replaced(tiny, finished, tmp_path):
    """The policy of all stores: only what is damaged, or of others, is replaced."""
    evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig())
    path = tmp_path / "main" / "gallery.h5"
    before = path.read_bytes()
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does where it opens a file for writing
        with pytest.raises(BusyError, match=r"gallery\.h5 is open for writing in another program"):
            evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig())
    assert path.read_bytes() == before
    with h5py.File(path, "w") as file:
        file["mine"] = 1
    before = path.read_bytes()
    with pytest.raises(StoreError, match="it is another program's"):
        evaluate(task(tiny, finished, keep=tmp_path), EvaluateConfig())
    assert path.read_bytes() == before


@pytest.mark.parametrize("match", ["main", "fused"])
@pytest.mark.parametrize(
    "changes",
    [
        {"gallery": "single-shot"},
        {"flip": True},
        {"cameras": "ignore"},
        {"trapezoid": True},
        {"expansion": {"neighbours": 2}},
        {"rerank": {"on": True, "k1": 4, "k2": 2}},
    ],
)
def test_other_protocols_are_measured_and_named(tiny, finished, match, changes):
    config = EvaluateConfig(match=match, **changes)
    found = evaluate(task(tiny, finished), config, between_cameras=True)
    assert 0 < found.metrics["mAP"] <= 1
    assert found.metrics["protocol"] == protocol(config) != ""
    assert {pair[0] for pair in found.pairs} == {1}


def test_one_camera_alone_goes_on_without_the_rule(tiny, finished, tmp_path):
    manifest = tmp_path / "manifest.csv"
    write_manifest([dataclasses.replace(record, camid=1) for record in tiny.records()], manifest)
    with pytest.raises(TrainingError, match=r"evaluate\.cameras=ignore"):
        evaluate(task(tiny, finished, manifest=manifest), EvaluateConfig())
    assert evaluate(task(tiny, finished, manifest=manifest), EvaluateConfig(cameras="ignore")).metrics["queries"] == 4


def test_without_cameras_a_copy_of_the_query_is_left_out(tiny, finished, tmp_path):
    """The gallery holds each query's own file under another name: it must not count as found."""
    copies = [
        dataclasses.replace(record, key=record.key.replace("query/", "bounding_box_test/copy_"), split="gallery")
        for record in tiny.records("query")
    ]
    for copy, record in zip(copies, tiny.records("query"), strict=True):
        (tmp_path / copy.key).parent.mkdir(exist_ok=True)
        shutil.copy(tiny.root / record.key, tmp_path / copy.key)
    shutil.copytree(tiny.root, tmp_path, dirs_exist_ok=True)
    manifest = write_manifest([*tiny.records(), *copies], tmp_path / "with_copies.csv")
    config = EvaluateConfig(cameras="ignore")
    with_copies = evaluate(task(tiny, finished, manifest=manifest, root=tmp_path), config).metrics
    assert with_copies["rank1"] <= evaluate(task(tiny, finished), config).metrics["rank1"]
    assert with_copies["gallery"] == 16


def test_multiquery_asks_with_the_pictures_of_the_protocol(tiny, finished, tmp_path):
    manifest = tmp_path / "manifest.csv"
    shutil.copy(tiny.manifest, manifest)
    config = EvaluateConfig(multiquery="average")
    with pytest.raises(TrainingError, match=r"multiquery\.csv is missing"):
        evaluate(task(tiny, finished, manifest=manifest), config)
    own = [dataclasses.replace(record, split="multiquery") for record in tiny.records("query")]
    write_manifest(own, tmp_path / "protocols" / "multiquery.csv")
    single = evaluate(task(tiny, finished), EvaluateConfig()).metrics
    alone = evaluate(task(tiny, finished, manifest=manifest), config).metrics
    assert {name: alone[name] for name in ("rank1", "mAP")} == {name: single[name] for name in ("rank1", "mAP")}
    misled = [  # everybody asks with pictures of the next person
        dataclasses.replace(record, split="multiquery", camid=1, pid=31 + (record.pid - 30) % 4)
        for record in tiny.records("gallery")
    ]
    write_manifest(misled, tmp_path / "protocols" / "multiquery.csv")
    assert evaluate(task(tiny, finished, manifest=manifest), config).metrics["mAP"] < single["mAP"]
    with pytest.raises(TrainingError, match="for --match main only"):
        evaluate(task(tiny, finished, manifest=manifest), EvaluateConfig(multiquery="average", match="fused"))


def test_what_cannot_be_evaluated_is_named(tiny, finished, tmp_path):
    def measure(source, match="main", manifest=tiny.manifest):
        evaluate(task(tiny, source, manifest=manifest), EvaluateConfig(match=match))

    with pytest.raises(TrainingError, match="needs the guide too, from the run's folder"):
        measure(finished / "model.pt", "fused")
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes())
    for match in ("main", "fused"):
        with pytest.raises(TrainingError, match="is not finished"):
            measure(tmp_path, match)
    with pytest.raises(ModelError, match=r"model\.pt cannot be read"):
        measure(tmp_path / "nowhere")
    no_query = tmp_path / "manifest.csv"
    lines = tiny.manifest.read_text().splitlines(keepends=True)
    no_query.write_text("".join(line for line in lines if not line.startswith("query/")))
    with pytest.raises(DatasetError, match="the split 'query' is empty"):
        measure(finished, manifest=no_query)


def test_files(tmp_path):
    path = write(tmp_path / "made" / "metrics.json", {"mAP": 0.5}, [0.25, 1.0])
    assert json.loads(path.read_text()) == {"mAP": 0.5}
    curve = json.loads((tmp_path / "made" / "cmc.json").read_text())
    assert curve == [{"rank": 1, "share": 0.25}, {"rank": 2, "share": 1.0}]
    assert len(list(path.parent.iterdir())) == 2
