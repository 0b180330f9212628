"""Examples that bring a model into other runtimes: BoxMOT, int8, OpenVINO, TensorRT and FiftyOne."""

import importlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

import dsa_reid
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_train.evaluation.metrics import evaluate
from repository import ROOT


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch):
    """Import an example, which may import those beside it."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def imported(name: str) -> ModuleType:
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    return imported


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A network with running statistics of its own, whose colours are ImageNet's."""
    torch.manual_seed(0)
    stream = dsa_reid.MainStream(dsa_reid.MainStreamConfig(trunk="resnet18", width=0.125))
    stream(torch.randn(16, 3, 64, 32))
    return dsa_reid.save(stream.eval(), tmp_path / "model.pt", dsa_reid.Preprocessing(64, 32))


@pytest.fixture
def crops() -> list[np.ndarray]:
    """Images of noise at several scales, RGB: what is lost in a resize depends on the detail."""
    rng = np.random.default_rng(0)
    small = [rng.integers(0, 256, (16, 8, 3), dtype=np.uint8) for _ in range(12)]
    return [np.kron(one, np.ones((9, 9, 1), np.uint8)) for one in small]  # (144, 72, 3)


def norms(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def test_boxmots_file_and_preprocessing(example, model: Path, crops: list[np.ndarray], tmp_path: Path) -> None:
    """At the network's own size nothing is resized: the features are those of `embed`."""
    runtime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    boxmot = example("boxmot_reid")
    path = boxmot.export(model, tmp_path / "resnet50_dsa.onnx")
    session = runtime.InferenceSession(str(path))
    (taken,) = session.get_inputs()
    assert taken.type == "tensor(float)"
    assert taken.shape[1:] == [3, 64, 32]
    assert isinstance(taken.shape[0], str)  # any batch
    network = dsa_reid.load(model)

    def features(some: list[np.ndarray]) -> np.ndarray:
        return session.run(None, {"images": boxmot.prepared([one[..., ::-1] for one in some], 64, 32)})[0]

    sized = [one[:64, :32] for one in crops]
    np.testing.assert_allclose(features(sized), network.embed(sized).numpy(), atol=1e-4)
    lost = np.abs(features(crops) - network.embed(crops).numpy()).max()
    assert lost > 1e-3  # it is another resize
    other = dsa_reid.save(
        network.main_stream, tmp_path / "o.pt", dsa_reid.Preprocessing(64, 32, (0.5,) * 3, (0.5,) * 3)
    )
    with pytest.raises(ValueError, match="BoxMOT normalises by ImageNet's"):
        boxmot.export(other, tmp_path / "x.onnx")


def test_with_boxmot_itself(example, model: Path, crops: list[np.ndarray], tmp_path: Path, monkeypatch) -> None:
    """Its own backend gives the features of the example's preprocessing, of length one."""
    backend = pytest.importorskip("boxmot.reid.backends.onnx_backend", reason="boxmot is not installed")
    monkeypatch.setattr(backend.ONNXBackend, "_ensure_onnxruntime_installed", lambda self: None)  # it would run pip
    boxmot = example("boxmot_reid")
    path = boxmot.export(model, tmp_path / "resnet50_dsa.onnx")
    frame = np.concatenate(crops, 1)[..., ::-1].copy()  # BGR
    boxes = np.array([[72 * n, 0, 72 * n + 72, 144] for n in range(len(crops))], np.float32)
    theirs = backend.ONNXBackend(path, torch.device("cpu"), False).get_features(boxes, frame)
    session = importlib.import_module("onnxruntime").InferenceSession(str(path))
    own = session.run(None, {"images": boxmot.prepared([one[..., ::-1] for one in crops], 64, 32)})[0]
    np.testing.assert_allclose(theirs, norms(own), atol=1e-5)


def test_int8_keeps_the_features_close(example, model: Path, crops: list[np.ndarray], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
    path = example("quantise").quantise(model, crops, tmp_path / "int8.onnx")
    types = [node.op_type for node in onnx.load(str(path)).graph.node]
    assert types.count("QuantizeLinear") > 10
    assert "BatchNormalization" not in types
    exported = dsa_reid.load_exported(path)
    assert exported.about["quantised"].startswith("int8")
    network = dsa_reid.load(model)
    sized = np.stack([one[:64, :32] for one in crops])
    ours, theirs = network.embed(list(sized)).numpy(), exported.run(sized)
    cosines = (norms(ours) * norms(theirs)).sum(1)
    assert cosines.min() > 0.95
    assert np.abs(ours - theirs).max() > 1e-5  # it is quantised


@pytest.mark.slow
def test_the_table_of_what_each_runtime_costs(model: Path, tiny) -> None:
    """In a Python of its own: OpenVINO's bfloat16 makes a signal's frame too large for faulthandler's stack."""
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    code = "import json, sys, pathlib, deployed_accuracy as one\n"
    code += "print(json.dumps(one.table(*map(pathlib.Path, sys.argv[1:]))))"
    arguments = [str(path) for path in (model, tiny.root, tiny.manifest)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT / "examples", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    by_way = {row["way"]: row for row in rows}
    assert list(by_way)[:4] == [
        "embed", "ONNX Runtime", "ONNX Runtime, int8", "ONNX Runtime, resized as BoxMOT does",
    ]  # fmt: skip
    records = {split: read_manifest(tiny.manifest, [split]) for split in ("query", "gallery")}
    rows_of = {
        split: dsa_reid.load(model).embed([tiny.root / one.key for one in own]) for split, own in records.items()
    }
    labels = [np.array([getattr(one, name) for one in records[s]]) for name in ("pid", "camid") for s in records]
    expected = evaluate(dsa_reid.distances(rows_of["query"], rows_of["gallery"]).numpy(), *labels)
    assert (by_way["embed"]["rank1"], by_way["embed"]["mAP"]) == (expected.rank(1), expected.mAP)
    for way, row in by_way.items():
        assert row["loss"] == pytest.approx(expected.mAP - row["mAP"])
        if "int8" not in way and "BoxMOT" not in way and "bfloat16" not in way:
            assert row["loss"] == pytest.approx(0, abs=1e-6), way


TRTEXEC = """#!{python}
import json, sys
import numpy as np
import onnxruntime
given = dict(one.lstrip("-").split("=", 1) for one in sys.argv[1:] if "=" in one)
if "onnx" in given:
    assert given["minShapes"] == "images:1x3x64x32" and given["maxShapes"] == "images:8x3x64x32"
    assert given["optShapes"] == "images:4x3x64x32"
    open(given["saveEngine"], "wb").write(open(given["onnx"], "rb").read())
else:
    name, _, file = given["loadInputs"].partition(":")
    shape = [int(side) for side in given["shapes"].partition(":")[2].split("x")]
    images = np.fromfile(file, np.float32).reshape(shape)
    out = onnxruntime.InferenceSession(given["loadEngine"]).run(None, {{name: images}})[0] + {error}
    values = {{"name": "features", "dimensions": "x".join(map(str, out.shape)), "values": out.reshape(-1).tolist()}}
    open(given["exportOutput"], "w").write(json.dumps([values]))
"""


@pytest.mark.parametrize("error", [0, 0.5])
def test_the_commands_of_trtexec(example, model: Path, tmp_path: Path, monkeypatch, capsys, error: float) -> None:
    """By a stand-in that reads their options as trtexec does, and computes by ONNX Runtime."""
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    tensorrt = example("tensorrt_engine")
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "trtexec"
    program.write_text(TRTEXEC.format(python=sys.executable, error=error))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    arguments = [str(model), str(tmp_path / "model.engine"), "--most", "8"]
    if error:
        with pytest.raises(SystemExit, match="do not use this engine"):
            tensorrt.main(arguments)
        return
    tensorrt.main(arguments)
    assert "a value differs by at most" in capsys.readouterr().out
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="trtexec is not on the PATH"):
        tensorrt.main(arguments)


@pytest.mark.skipif(shutil.which("trtexec") is None, reason="TensorRT's trtexec is not installed")
def test_with_trtexec_itself(example, model: Path, tmp_path: Path) -> None:
    for more in ([], ["--fp16"]):
        example("tensorrt_engine").main([str(model), str(tmp_path / "model.engine"), *more])


class Dataset(SimpleNamespace):
    """What the example uses of FiftyOne's dataset."""

    def __init__(self, name: str, persistent: bool, overwrite: bool) -> None:
        super().__init__(name=name, persistent=persistent, overwrite=overwrite, rows=[])

    def add_samples(self, samples: list) -> None:
        self.rows += samples


def test_samples_for_fiftyone(example, model: Path, tiny) -> None:
    """Their fields are those of the evaluation; the dataset is made by a stand-in with FiftyOne's names."""
    fiftyone = example("fiftyone_dataset")
    records = read_manifest(tiny.manifest, ["query", "gallery"])
    features = dsa_reid.load(model).embed([tiny.root / one.key for one in records]).numpy()
    stand_in = SimpleNamespace(Dataset=Dataset, Sample=lambda **fields: fields)
    made = fiftyone.dataset(stand_in, "reid", fiftyone.samples(tiny.root, records, features))
    assert (made.name, made.persistent, made.overwrite) == ("reid", True, True)
    assert [row["filepath"] for row in made.rows] == [str(tiny.root / one.key) for one in records]
    assert all(Path(row["filepath"]).is_file() for row in made.rows)
    np.testing.assert_array_equal(np.stack([row["embedding"] for row in made.rows]), features)
    queries = [row for row in made.rows if row["tags"] == ["query"]]
    split = np.array([one.split for one in records])
    labels = [np.array([getattr(one, name) for one in records]) for name in ("pid", "camid")]
    q, g = split == "query", split == "gallery"
    distmat = dsa_reid.distances(features[q], features[g]).numpy()
    found = evaluate(distmat, labels[0][q], labels[0][g], labels[1][q], labels[1][g])
    known = [row["ap"] for row in queries if "ap" in row]
    np.testing.assert_allclose(known, found.ap[~np.isnan(found.ap)], atol=1e-12)
    assert np.mean([row["rank1"] == "right" for row in queries if "ap" in row]) == pytest.approx(found.rank(1))
    assert all("ap" not in row for row in made.rows if row["tags"] == ["gallery"])
    names = {row["filepath"] for row in made.rows}
    assert all(row["nearest"] in names for row in queries)


def test_with_fiftyone_itself(example, model: Path, tiny, monkeypatch) -> None:
    fiftyone = pytest.importorskip("fiftyone", reason="fiftyone is not installed")
    own = example("fiftyone_dataset")
    records = read_manifest(tiny.manifest, ["query", "gallery"])
    features = dsa_reid.load(model).embed([tiny.root / one.key for one in records]).numpy()
    made = own.dataset(fiftyone, "dsa-reid-test", own.samples(tiny.root, records, features))
    try:
        assert len(made) == len(records)
        index = importlib.import_module("fiftyone.brain").compute_similarity(
            made, embeddings="embedding", brain_key=own.BRAIN_KEY, metric="euclidean"
        )
        assert index.total_index_size == len(records)
    finally:
        made.delete()


def test_the_command_prints_json(example, model: Path, tiny, tmp_path: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    accuracy = example("deployed_accuracy")
    monkeypatch.setattr(accuracy, "table", lambda *given: [{"way": "embed", "rank1": 0.5, "mAP": 0.25, "loss": 0.0}])
    monkeypatch.setattr(sys, "argv", ["deployed_accuracy.py", str(model), "--json"])
    accuracy.main()
    assert json.loads(capsys.readouterr().out)[0]["mAP"] == 0.25
    monkeypatch.setattr(sys, "argv", ["deployed_accuracy.py", str(model)])
    accuracy.main()
    assert capsys.readouterr().out.splitlines()[1].split() == ["embed", "50.0", "25.00", "0.00"]


PAGE = (ROOT / "docs" / "runtimes.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.slow
def test_the_pages_python_and_commands(model: Path, crops: list[np.ndarray], tmp_path: Path) -> None:
    """All blocks, one after another, in a Python of their own; the commands are those of examples."""
    pytest.importorskip("openvino", reason="openvino is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    code = "\n".join(blocks("python"))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "differs by less than 1e-4: True" in done.stdout
    assert "['README.md', 'config.json', 'model.pt']" in done.stdout
    (tmp_path / "images").mkdir()
    for n, crop in enumerate(crops):
        (tmp_path / "images" / f"{n}.jpg").write_bytes(images.encode_jpeg(crop))
    for line in "".join(blocks("sh")).splitlines():
        python, script, *arguments = shlex.split(line)
        assert python == "python"
        command = [sys.executable, str(ROOT / script), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / arguments[-1]).is_file()


def test_an_image_of_the_dataset_is_read_as_rgb(tiny) -> None:
    """`deployed_accuracy` turns what this reads into BGR, as OpenCV would."""
    first = read_manifest(tiny.manifest, ["query"])[0]
    cv2 = pytest.importorskip("cv2")
    theirs = cv2.imread(str(tiny.root / first.key))
    assert np.abs(images.read(tiny.root / first.key)[..., ::-1].astype(int) - theirs).max() <= 3
