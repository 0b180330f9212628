"""Every example of docs/deploy.md, of README.md and of examples/ is run as it stands."""

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import faiss
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import dsa_reid
from dsa_data.images import encode_jpeg
from dsa_train.cli import main
from repository import ROOT

PAGE = (ROOT / "docs" / "deploy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page speaks of: a model, images, the model's export."""
    place = tmp_path_factory.mktemp("examples")
    torch.manual_seed(0)
    stream = dsa_reid.MainStream(dsa_reid.MainStreamConfig(trunk="resnet18", width=0.125))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    model = dsa_reid.load(dsa_reid.save(stream, place / "model.pt", dsa_reid.Preprocessing(32, 16)))
    dsa_reid.export(model, place / "model.onnx")
    generator = np.random.default_rng(0)
    (place / "images").mkdir()
    for name in ("a.jpg", "b.jpg", "c.jpg", "images/1.jpg", "images/2.jpg", "images/3.jpg"):
        (place / name).write_bytes(encode_jpeg(generator.integers(0, 256, (50, 25, 3), dtype=np.uint8)))
    return place


def test_the_pages_python(place: Path) -> None:
    """All blocks, one after another, in a Python of their own."""
    assert len(blocks("python")) >= 3
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks("python"))], cwd=place, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "[[0 " in done.stdout
    assert "inside (5, 128)" in done.stdout


def test_the_readmes_python(place: Path) -> None:
    """Ten lines: the nearest image to a query is itself, and the model is exported."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(code.splitlines()) <= 10
    done = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "['a.jpg', " in done.stdout


@pytest.mark.slow
def test_the_pages_commands(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (commands,) = blocks("sh")
    for line in commands.splitlines():
        program, *arguments = shlex.split(line)
        assert program == "dsa-train"
        done = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert done.exit_code == 0, f"{line}\n{done.output}"
    for name in ("gallery.h5", "gallery.h5.hnsw.faiss", "gallery.npy", "ranking.png", "model.onnx", "model.pt2"):
        assert (place / name).exists()


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tracker_gives_each_box_its_feature(place: Path) -> None:
    appearance = example("tracker").Appearance(str(place / "model.pt"))
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)  # BGR
    boxes = [(10, 20, 40, 90), (-15.2, 50, 30.4, 300), (200, 10, 260, 80), (50, 60, 50, 90)]
    features = appearance(frame, boxes)
    rgb = frame[..., ::-1]
    expected = dsa_reid.load(place / "model.pt").embed([rgb[20:90, 10:40], rgb[50:120, 0:30]])
    torch.testing.assert_close(features[:2], expected)
    assert (features[2:] == 0).all()
    cost = appearance.cost(features[:2], features)
    assert cost.shape == (2, 4)
    np.testing.assert_allclose(np.diag(cost[:, :2]), 0, atol=1e-6)
    np.testing.assert_allclose(cost[:, 2:], 1)
    torch.testing.assert_close(appearance.update(features[0], features[2]), features[0])
    assert appearance(frame, []).shape == (0, 128)


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_torchreids_features_are_read_ranked_and_indexed(tmp_path: Path, ending: str) -> None:
    """Of three queries, one finds its person in another camera, one finds another person, one has nothing to find."""
    directions = np.eye(4, dtype=np.float32)
    query = {"feats": 3 * directions[:3], "pids": [1, 2, 9], "camids": [0, 0, 0]}
    gallery = {
        "feats": directions[[0, 0, 1, 1, 3]],
        "pids": [1, 1, 2, 3, 2],
        "camids": [0, 1, 0, 1, 1],
    }
    paths = []
    for name, content in (("query", query), ("gallery", gallery)):
        paths.append(tmp_path / f"{name}.{ending}")
        if ending == "npz":
            np.savez(paths[-1], **content)
        else:
            torch.save({**content, "feats": torch.from_numpy(content["feats"])}, paths[-1])
    torchreid = example("torchreid_features")
    q, g = map(torchreid.read, paths)
    np.testing.assert_allclose(np.linalg.norm(q.features, axis=1), 1)
    assert torchreid.rank1(q, g) == 0.5
    torchreid.write_index(g, tmp_path / "gallery.faiss")
    index = faiss.read_index(str(tmp_path / "gallery.faiss"))
    assert index.search(q.features[:2], 1)[1].tolist() == [[0], [2]]


def test_other_names_are_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", embeddings=np.ones((1, 2)))
    with pytest.raises(SystemExit, match="has embeddings; expected features under one of features, feats, f"):
        example("torchreid_features").read(tmp_path / "x.npz")
