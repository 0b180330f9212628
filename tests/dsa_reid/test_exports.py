"""Exported networks give PyTorch's features for any batch, state their input, and are identified by their model."""

import importlib
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, Model, ModelError, Preprocessing

PREPROCESSING = Preprocessing(32, 16, mean=(0.5, 0.4, 0.3))


def model_file(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    stream = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    return dsa_reid.save(stream, path, PREPROCESSING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, exported in each way."""
    folder = tmp_path_factory.mktemp("export")
    model = dsa_reid.load(model_file(folder / "model.pt"))
    for ending in ("onnx", "pt2"):
        for where in ("inside", "outside"):
            dsa_reid.export(model, folder / f"{where}.{ending}", where)
    return folder


@pytest.fixture
def model(folder: Path) -> Model:
    return dsa_reid.load(folder / "model.pt")


def crops(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (40, 20, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("name", ["inside.onnx", "outside.onnx", "inside.pt2", "outside.pt2"])
def test_the_features_are_pytorchs(folder: Path, model: Model, name: str) -> None:
    checked = dsa_reid.check(model, folder / name, crops(11), batch=5)
    assert checked.images == checked.pictures == 1 + 3 + 5 + 11  # the latter is the deprecated name
    assert checked.passed
    assert checked.difference < 1e-5


@pytest.mark.parametrize("batch", [1, 2, 9])
def test_onnxruntime_alone_needs_only_the_file(folder: Path, model: Model, batch: int) -> None:
    """As a user without torch would: resize by the stated size, feed bytes, read features."""
    session = onnxruntime.InferenceSession(str(folder / "inside.onnx"))
    images = np.random.default_rng(1).integers(0, 256, (batch, 32, 16, 3), dtype=np.uint8)
    (features,) = session.run(["features"], {"images": images})
    np.testing.assert_allclose(features, model.embed(list(images)).numpy(), atol=1e-5)


def test_normalising_outside_is_stated_with_its_numbers(folder: Path, model: Model) -> None:
    about = dsa_reid.load_exported(folder / "outside.onnx").about
    images = np.stack(crops(2))[:, :32, :16]
    normalised = (images / 255 - np.array(about["mean"])) / np.array(about["std"])
    session = onnxruntime.InferenceSession(str(folder / "outside.onnx"))
    (features,) = session.run(None, {"images": normalised.transpose(0, 3, 1, 2).astype(np.float32)})
    np.testing.assert_allclose(features, model.embed(list(images)).numpy(), atol=1e-5)
    assert (about["normalise"], about["model"]) == ("outside", model.digest)
    assert about["input"] == "float32 RGB (B, 3, 32, 16)"
    assert about["parts"] == {"global": 64, "local": 64}


def test_normalising_twice_is_refused_by_the_type(folder: Path) -> None:
    session = onnxruntime.InferenceSession(str(folder / "inside.onnx"))
    with pytest.raises(Exception, match="float"):
        session.run(None, {"images": np.zeros((1, 32, 16, 3), np.float32)})


def test_valid_onnx_in_one_file(folder: Path) -> None:
    onnx.checker.check_model(str(folder / "inside.onnx"), full_check=True)
    assert {path.name for path in folder.iterdir()} == {
        "model.pt", "inside.onnx", "outside.onnx", "inside.pt2", "outside.pt2",
    }  # fmt: skip


def test_torch_loads_the_program(folder: Path, model: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.export.load(folder / "inside.pt2").module()
    images = torch.from_numpy(np.stack(crops(3))[:, :32, :16])
    torch.testing.assert_close(network(images), model.features(images))


@pytest.mark.timeout(900)  # tracing is slow, and slower on a busy machine
@pytest.mark.parametrize(
    "settings",
    [
        {"trunk": "resnet18", "width": 0.125, "pooling": "gem", "neck": "bn"},
        pytest.param({"trunk": "resnet50_ibn", "width": 0.125, "heads": "local"}, marks=pytest.mark.slow),
        pytest.param({"trunk": "timm/convnext_atto", "size": (64, 32)}, marks=pytest.mark.slow),
        pytest.param({"trunk": "timm/vit_tiny_patch16_224", "size": (64, 32)}, marks=pytest.mark.slow),
        pytest.param({"trunk": "timm/swin_tiny_patch4_window7_224", "size": (64, 32)}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: settings["trunk"],
)
def test_other_networks(settings: dict, tmp_path: Path) -> None:
    if settings["trunk"].startswith("timm/"):
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(**settings))
    model = dsa_reid.load(dsa_reid.save(stream, tmp_path / "model.pt", Preprocessing(64, 32)))
    for ending in ("onnx", "pt2"):
        checked = dsa_reid.check(model, dsa_reid.export(model, tmp_path / f"model.{ending}"), crops(4))
        assert checked.difference < 1e-5


def test_a_trunk_that_cannot_be_exported_is_named(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_content(images: torch.Tensor) -> torch.Tensor:
        return images if images.sum().item() > 0 else -images

    trunk = model.main_stream.trunk
    monkeypatch.setattr(trunk, "forward", lambda images: type(trunk).forward(trunk, by_content(images)))
    for ending in ("onnx", "pt2"):
        with pytest.raises(ModelError, match=rf"The trunk resnet18 cannot be exported to \.{ending}"):
            dsa_reid.export(model, tmp_path / f"x.{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_no_path_of_this_machine_is_in_the_file(folder: Path, ending: str) -> None:
    here = str(Path(dsa_reid.__file__).parent).encode()
    assert here not in (folder / f"inside.{ending}").read_bytes()


def test_an_export_of_another_model(folder: Path, tmp_path: Path) -> None:
    other = dsa_reid.load(model_file(tmp_path / "other.pt", seed=1))
    with pytest.raises(ModelError, match=r"was exported from the model \w{12}, not from"):
        dsa_reid.check(other, folder / "inside.onnx")


def test_a_wrong_network_does_not_pass(folder: Path, tmp_path: Path) -> None:
    """The check can fail: another network's export under this model's name."""
    other = dsa_reid.load(model_file(tmp_path / "other.pt", seed=1))
    model = dsa_reid.load(folder / "model.pt")
    other.digest = model.digest
    checked = dsa_reid.check(model, dsa_reid.export(other, tmp_path / "other.pt2"))
    assert not checked.passed


def test_an_unknown_format(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"expected a name that ends in \.onnx"):
        dsa_reid.export(model, tmp_path / "model.engine")


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_files_that_are_no_exports(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x.{ending}"
    with pytest.raises(ModelError, match="does not exist"):
        dsa_reid.load_exported(path)
    path.write_bytes(b"neither one")
    with pytest.raises(ModelError, match="cannot be read"):
        dsa_reid.load_exported(path)


def test_without_onnx(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(ModelError, match=r"onnx is not installed\. Install it: .*pip install .*\[export\]"):
        dsa_reid.export(model, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())
