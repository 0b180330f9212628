import json

import pytest

from data.errors import DatasetError, StoreError, TrainingError
from dsa_reid.errors import ModelError
from dsap.config import WarpConfig
from train import stage
from train.config import EvaluateConfig
from train.evaluate import evaluate, write


@pytest.fixture(scope="module")
def finished(tiny, small, tmp_path_factory):
    """A trained network with both streams."""
    out = tmp_path_factory.mktemp("finished")
    stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(epochs=2, schedule={"warmup": 0, "lr": 0.002}))
    return out


def test_only_the_main_stream_is_used_and_needed(tiny, finished, tmp_path):
    alone = tmp_path / "model.pt"
    alone.write_bytes((finished / "model.pt").read_bytes())
    nowhere = tmp_path / "none.h5"
    found, cmc = evaluate(tiny.manifest, tiny.root, nowhere, alone, EvaluateConfig())
    again, _ = evaluate(tiny.manifest, tiny.root, nowhere, finished, EvaluateConfig())
    assert found == again
    assert found.keys() >= {"rank1", "rank5", "rank10", "mAP", "mINP", "chance_mAP"}
    assert all(0 <= found[name] <= 1 for name in ("rank1", "rank5", "rank10", "mAP", "mINP", "chance_mAP"))
    assert (found["queries"], found["queries_left_out"], found["gallery"]) == (4, 0, 12)
    assert cmc[0] == found["rank1"]


@pytest.mark.parametrize("match", ["fused", "global", "local"])
def test_the_joint_rows_come_from_the_checkpoint(tiny, finished, match):
    found, _ = evaluate(tiny.manifest, tiny.root, tiny.dsap, finished, EvaluateConfig(match=match))
    assert 0 < found["mAP"] <= 1
    with pytest.raises(StoreError, match="does not exist"):
        evaluate(tiny.manifest, tiny.root, finished / "none.h5", finished, EvaluateConfig(match=match))
    coarse = WarpConfig(size=8, parts="coarse")
    with pytest.raises(StoreError, match="parts was fine, this run wants coarse"):
        evaluate(tiny.manifest, tiny.root, tiny.dsap, finished, EvaluateConfig(match=match), coarse)


def test_what_cannot_be_measured_is_said(tiny, finished, tmp_path):
    def measure(source, match="main", manifest=tiny.manifest):
        evaluate(manifest, tiny.root, tiny.dsap, source, EvaluateConfig(match=match))

    with pytest.raises(TrainingError, match="needs the run's folder"):
        measure(finished / "model.pt", "fused")
    (tmp_path / "checkpoint.pt").write_bytes((finished / "checkpoint.pt").read_bytes())
    for match in ("main", "fused"):
        with pytest.raises(TrainingError, match="not trained to its end"):
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
