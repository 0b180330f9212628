"""From settings to engines and devices."""

from pathlib import Path

import pytest
import torch

from densepose_extract.config import ExtractConfig
from densepose_extract.engines import pose
from densepose_extract.engines.imported import Imported
from densepose_extract.engines.keypoints import Keypoints
from densepose_extract.engines.make import make_engine
from densepose_extract.engines.native import NativeEngine
from densepose_extract.engines.rendered import Rendered
from densepose_extract.pose import model_file
from dsa_app.errors import CheckpointError, ConfigError, EngineError
from dsa_app.process_group import ProcessGroup
from tiny import random_iuv, write_iuv_image, write_true_maps


def test_auto_is_rendered_for_the_synthetic_dataset_else_native(market: Path, tmp_path: Path) -> None:
    write_true_maps(market)
    assert isinstance(make_engine(ExtractConfig(), "synthetic", market, []), Rendered)
    with pytest.raises(CheckpointError, match="neither a file nor a known name"):
        make_engine(ExtractConfig(checkpoint=str(tmp_path / "none.pkl")), "market1501", market, [])
    with pytest.raises(EngineError, match="--engine native"):
        make_engine(ExtractConfig(engine="rendered"), "market1501", tmp_path, [])


def test_the_recipe_reaches_the_network(checkpoint: Path) -> None:
    config = ExtractConfig(
        engine="native", checkpoint=str(checkpoint), device="cpu", min_size=64, batch=2, missing="none"
    )
    engine = make_engine(config, "synthetic", Path(), [])
    assert isinstance(engine, NativeEngine)
    assert engine.recipe == config.recipe
    assert (engine.identity["engine"], engine.identity["device"], engine.identity["batch"]) == ("native", "cpu", 2)


def test_import_needs_a_folder(tmp_path: Path) -> None:
    write_iuv_image(tmp_path / "a_IUV.png", random_iuv(4, 4))
    engine = make_engine(ExtractConfig(engine="import", maps=str(tmp_path)), "market1501", tmp_path, [])
    assert isinstance(engine, Imported)
    with pytest.raises(ConfigError, match="--from DIR"):
        make_engine(ExtractConfig(engine="import"), "market1501", tmp_path, [])


def test_each_process_takes_its_own_gpu(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    config = ExtractConfig(engine="native", checkpoint=str(checkpoint))
    with pytest.raises(EngineError, match="Device 'cuda:1' cannot be used: torch finds 0 CUDA devices"):
        make_engine(config, "market1501", Path(), [], group=ProcessGroup(0, 1, 1))


def test_keypoints_and_pose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="--keypoints PATH"):
        make_engine(ExtractConfig(engine="keypoints"), "market1501", tmp_path, [])
    (tmp_path / "1.txt").write_text("0 .5 .5 1 1 " + "0.5 0.25 0.9 " * 17)
    config = ExtractConfig(engine="keypoints", keypoints=str(tmp_path), confidence=True, bits=16)
    engine = make_engine(config, "market1501", tmp_path, [])
    assert isinstance(engine, Keypoints)
    assert engine.identity == {"engine": "keypoints", "version": 1, "bits": 16, "confidence": "pixels"}
    missing = ExtractConfig(engine="pose", pose_model=str(tmp_path / "none.tflite"))
    with pytest.raises(CheckpointError, match=r"none\.tflite is not a file.*pip download --no-deps mediapipe"):
        make_engine(missing, "market1501", tmp_path, [])
    monkeypatch.setattr(model_file, "obtain", lambda given: Path(given))
    monkeypatch.setattr(pose, "BlazePose", lambda path: path)
    made = make_engine(missing, "market1501", tmp_path, [], jobs=2)
    assert isinstance(made, pose.PoseEngine)
    assert made.identity["model"] == model_file.SHA256
