"""Exported networks give PyTorch's features for any batch, state their input, and are identified by their model."""

import importlib
import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, Model, ModelError, Preprocessing
from dsa_reid.graph_resize import Resize

PREPROCESSING = Preprocessing(32, 16, mean=(0.5, 0.4, 0.3))


def model_file(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    stream = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    return dsa_reid.save(stream, path, PREPROCESSING)


EXPORTS = {
    "inside.onnx": ("inside", None),
    "resized.onnx": ("inside", "outside"),
    "outside.onnx": ("outside", None),
    "inside.pt2": ("inside", None),
    "outside.pt2": ("outside", None),
}
"""What `normalise` and `resize` were said for each file."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, exported in each way."""
    folder = tmp_path_factory.mktemp("export")
    model = dsa_reid.load(model_file(folder / "model.pt"))
    for name, where in EXPORTS.items():
        dsa_reid.export(model, folder / name, *where)
    return folder


@pytest.fixture
def model(folder: Path) -> Model:
    return dsa_reid.load(folder / "model.pt")


def crops(count: int) -> list[np.ndarray]:
    """Crops of many sizes."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*generator.integers(1, 90, 2), 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("name", EXPORTS)
def test_the_features_are_pytorchs(folder: Path, model: Model, name: str) -> None:
    checked = dsa_reid.check(model, folder / name, crops(11), batch=5)
    assert checked.pictures == checked.images  # its deprecated name
    assert checked.images == (5 if name.startswith("inside") else 1) * (1 + 3 + 5) + 11
    assert checked.passed
    assert checked.difference < 1e-5


@pytest.mark.parametrize("batch", [1, 2, 9])
@pytest.mark.parametrize("size", [(32, 16), (80, 30), (9, 40), (1, 1)])
def test_onnxruntime_alone_needs_nothing_but_the_bytes(
    folder: Path, model: Model, batch: int, size: tuple[int, int]
) -> None:
    """As a user without torch would: crops of any size in, features out."""
    session = onnxruntime.InferenceSession(str(folder / "inside.onnx"))
    pictures = np.random.default_rng(1).integers(0, 256, (batch, *size, 3), dtype=np.uint8)
    (features,) = session.run(["features"], {"images": pictures})
    np.testing.assert_allclose(features, model.embed(pictures).numpy(), atol=1e-5)


def test_openvino_too(folder: Path, model: Model) -> None:
    openvino = pytest.importorskip("openvino", reason="openvino is not installed")
    core = openvino.Core()
    # by default it computes in bfloat16 where the processor can
    network = core.compile_model(str(folder / "inside.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for crop in crops(12):
        np.testing.assert_allclose(network(crop[None])[0], model.embed(crop).numpy(), atol=1e-5)


@pytest.mark.shared
@pytest.mark.parametrize("name", ["inside.onnx", "inside.pt2"])
def test_real_photographs_as_they_are(folder: Path, model: Model, name: str, shared: Path) -> None:
    files = [shared / "real" / file for file in ("front1.png", "front2.png", "back.png", "group.jpg")]
    checked = dsa_reid.check(model, folder / name, files, batch=1)
    assert checked.images == 5 * (1 + 3 + 1) + len(files)
    assert checked.difference < 1e-5


def resized_otherwise(self: Resize, images: torch.Tensor) -> torch.Tensor:
    """Resize as OpenCV's default does: without antialiasing."""
    planes = images.permute(0, 3, 1, 2).to(torch.float32)
    return torch.nn.functional.interpolate(planes, (self.height, self.width), mode="bilinear")


def test_a_resize_that_differs_does_not_pass(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resize, "forward", resized_otherwise)
    path = dsa_reid.export(model, tmp_path / "model.pt2")
    monkeypatch.undo()
    assert not dsa_reid.check(model, path).passed
    assert not dsa_reid.check(model, path, crops(2)).passed


def test_resizing_before_normalising_outside_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="resized before they are normalised"):
        dsa_reid.export(model, tmp_path / "x.onnx", "outside", "inside")


def restated(path: Path, out: Path, **changes: object) -> Path:
    """Write an ONNX file that says something else of itself; None takes a statement away."""
    program = onnx.load(path)
    (entry,) = [entry for entry in program.metadata_props if entry.key == "dsa_reid"]
    about = json.loads(entry.value) | changes
    entry.value = json.dumps({name: value for name, value in about.items() if value is not None})
    onnx.save(program, out)
    return out


def test_a_file_of_version_1_is_read(folder: Path, model: Model, tmp_path: Path) -> None:
    """It resized outside, and said so in a sentence."""
    old = {"version": 1, "resize": "bilinear, averaging where it shrinks, to the size of the input"}
    path = restated(folder / "resized.onnx", tmp_path / "old.onnx", **old)
    assert dsa_reid.load_exported(path).about["resize"] == "outside"
    assert dsa_reid.check(model, path, crops(3)).passed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "has version 3, this dsa_reid reads up to 2"),
        ({"version": None}, "has version None"),
        ({"format": "another"}, "is not an export of dsa-reid"),
        ({"resize": "somewhere"}, "contradicts itself"),
        ({"normalise": None}, "'normalise' is missing"),
        ({"model": 5}, "contradicts itself"),
    ],
)
def test_statements_that_are_not_ours(folder: Path, tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        dsa_reid.load_exported(restated(folder / "resized.onnx", tmp_path / "x.onnx", **changes))


def test_normalising_outside_is_stated_with_its_numbers(folder: Path, model: Model) -> None:
    about = dsa_reid.load_exported(folder / "outside.onnx").about
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 16, 3), dtype=np.uint8)
    normalised = (images / 255 - np.array(about["mean"])) / np.array(about["std"])
    session = onnxruntime.InferenceSession(str(folder / "outside.onnx"))
    (features,) = session.run(None, {"images": normalised.transpose(0, 3, 1, 2).astype(np.float32)})
    np.testing.assert_allclose(features, model.embed(list(images)).numpy(), atol=1e-5)
    assert (about["normalise"], about["resize"], about["model"]) == ("outside", "outside", model.digest)
    assert (about["version"], about["height"], about["width"]) == (2, 32, 16)
    assert about["input"] == "float32 RGB (B, 3, 32, 16)"
    assert about["parts"] == {"global": 64, "local": 64}


def test_normalising_twice_is_refused_by_the_type(folder: Path) -> None:
    session = onnxruntime.InferenceSession(str(folder / "inside.onnx"))
    with pytest.raises(Exception, match="float"):
        session.run(None, {"images": np.zeros((1, 32, 16, 3), np.float32)})


def test_valid_onnx_in_one_file(folder: Path) -> None:
    onnx.checker.check_model(str(folder / "inside.onnx"), full_check=True)
    assert {path.name for path in folder.iterdir()} == {
        "model.pt",
        *EXPORTS,
    }


def test_torch_loads_the_program(folder: Path, model: Model) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = torch.export.load(folder / "inside.pt2").module()
    images = torch.randint(0, 256, (3, 32, 16, 3), dtype=torch.uint8)
    torch.testing.assert_close(network(images), model.features(images))


@pytest.mark.timeout(900)  # tracing is slow, and slower on a busy machine
@pytest.mark.parametrize(
    "settings",
    [
        {"trunk": "resnet18", "width": 0.125, "pooling": "gem", "neck": "bn"},
        pytest.param({"trunk": "resnet50_ibn", "width": 0.125, "heads": "local"}, marks=pytest.mark.slow),
        pytest.param({"trunk": "timm/convnext_atto", "size": (64, 32)}, marks=pytest.mark.slow),
        pytest.param({"trunk": "timm/vit_tiny_patch16_224", "size": (64, 32)}, marks=pytest.mark.slow),
        pytest.param(
            {
                "trunk": "timm/vit_tiny_patch16_224",
                "size": (64, 32),
                "patch_stride": 12,
                "global_feature": "token",
                "sie": 3.0,
                "cameras": (1, 2, 4),
            },
            marks=pytest.mark.slow,
        ),
        pytest.param({"trunk": "resnet101_ibn", "width": 0.125}, marks=pytest.mark.slow),
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
        about = dsa_reid.load_exported(tmp_path / f"model.{ending}").about
        cameras = "unknown: the mean embedding of the training's cameras" if "sie" in settings else None
        assert about.get("camera") == cameras


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


@pytest.mark.parametrize("name", ["seen.onnx", "seen.pt2"])
def test_visibilities_are_a_second_output(model: Model, tmp_path: Path, name: str) -> None:
    torch.manual_seed(1)
    config = MainStreamConfig(trunk="resnet18", width=0.125, local_pooling="regions", local_head="pointwise")
    seeing = dsa_reid.load(dsa_reid.save(MainStream(config).eval(), tmp_path / "regions.pt", PREPROCESSING))
    path = dsa_reid.export(seeing, tmp_path / name, resize="outside", visibility=True)
    checked = dsa_reid.check(seeing, path, crops(3), batch=3)
    assert checked.difference < 1e-5
    exported = dsa_reid.load_exported(path)
    assert exported.run(np.zeros((2, 32, 16, 3), np.uint8)).shape == (2, seeing.dimensions + 8)
    assert exported.about["visibility"].startswith("float32 (B, 8)")
    if name.endswith("onnx"):
        session = onnxruntime.InferenceSession(str(path))
        assert [one.name for one in session.get_outputs()] == ["features", "visibility"]
    else:
        plain = dsa_reid.export(seeing, tmp_path / "plain.pt2", resize="outside")
        assert "visibility" not in dsa_reid.load_exported(plain).about
    with pytest.raises(ModelError, match="does not predict body regions"):
        dsa_reid.export(model, tmp_path / "no.onnx", visibility=True)
