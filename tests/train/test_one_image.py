"""One image, one feature: every form of file, in every way in, gives the pixels that training reads."""

import hashlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import dsa_reid
from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.records import Record
from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing
from dsa_reid.crops import Crop
from dsa_reid.reading import batches
from dsa_train.batches.dataset import Images
from dsa_train.cli import main
from dsa_train.gallery.sources import in_folder
from image_forms import CASES, FORMS, SMOOTH, encoded

SIZE = Preprocessing(32, 16)
ENDINGS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "bmp": ".bmp", "tiff": ".tif"}


def as_pil(path: Path) -> Image.Image:
    return Image.open(path)


def as_pil_in_memory(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def as_tensor(path: Path) -> torch.Tensor:
    return torch.from_numpy(images.read(path)).permute(2, 0, 1)


def as_memory(path: Path) -> memoryview:
    return memoryview(path.read_bytes())


WAYS: dict[str, Callable[[Path], Crop]] = {
    "path": lambda path: path,
    "text": str,
    "bytes": Path.read_bytes,
    "memory": as_memory,
    "array": images.read,
    "tensor": as_tensor,
    "PIL": as_pil,
    "PIL from memory": as_pil_in_memory,
}


def trained_on(path: Path) -> torch.Tensor:
    """Return what training reads of a file, uint8 (height, width, 3)."""
    data = path.read_bytes()
    record = Record(path.name, "train", 0, 0, 1, 1, hashlib.sha256(data).hexdigest())
    return Images(path.parent, [record], SIZE).read([0]).images[0]


def written(folder: Path, name: str, orientation: int = 1) -> Path:
    path = folder / f"{name.replace(' ', '-').replace(':', '')}-{orientation}{ENDINGS[name.split()[0]]}"
    path.write_bytes(FORMS[name].file(orientation))
    return path


@pytest.mark.parametrize(("name", "orientation"), CASES)
def test_every_way_in_gives_the_pixels_of_training(tmp_path: Path, name: str, orientation: int) -> None:
    path = written(tmp_path, name, orientation)
    expected = trained_on(path)
    shown = torch.from_numpy(np.array(FORMS[name].pixels(orientation)))
    assert torch.equal(expected, SIZE.resize(shown))  # by another decoder than ours
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (found,) = batches([way(path) for way in WAYS.values()], SIZE, len(WAYS), workers=1)
    for way, crop in zip(WAYS, found, strict=True):
        assert torch.equal(crop, expected), way


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
    stream(torch.randn(8, 3, 32, 16))  # running statistics of its own
    return dsa_reid.save(stream, tmp_path_factory.mktemp("model") / "model.pt", SIZE)


SOME = [("jpeg", 6), ("jpeg cmyk", 1), ("png 16 RGB", 1), ("png 16 grey", 8), ("png P", 3), ("webp", 5), ("bmp P", 1),
        ("tiff RGBA packbits", 7)]  # fmt: skip


def test_every_way_in_gives_the_feature_of_training(tmp_path: Path, model: Path) -> None:
    """To the bit, in `embed` and in `dsa-train embed DIR`."""
    loaded = dsa_reid.load(model)
    (tmp_path / "images").mkdir()
    paths = sorted(written(tmp_path / "images", *case) for case in SOME)
    expected = torch.cat([loaded.features(trained_on(path)[None]) for path in paths])
    for name, way in WAYS.items():
        found = torch.cat([loaded.embed(way(path)) for path in paths])
        assert torch.equal(found, expected), name
    out = tmp_path / "features.npy"
    arguments = ["embed", tmp_path / "images", "--model", model, "--out", out, "--batch", 1, "--device", "cpu"]
    done = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [source.path for source in in_folder(tmp_path / "images")] == paths
    np.testing.assert_array_equal(np.load(out), expected.numpy())


JPEG, PNG16 = FORMS["jpeg"].file(), FORMS["png 16 RGB"].file()
REFUSED: dict[str, Crop] = {
    "bytes of a GIF": encoded(Image.fromarray(SMOOTH), "GIF"),
    "bytes that are cut": JPEG[:-50],
    "bytes that end early": JPEG[:-50] + b"\xff\xd9",
    "no bytes": b"",
    "array of grey": SMOOTH[..., 0],
    "array with transparency": np.zeros((4, 4, 4), np.uint8),
    "array of 16 bits": SMOOTH.astype(np.uint16),
    "array of floats": SMOOTH.astype(np.float32) / 255,
    "array without pixels": SMOOTH[:0],
    "tensor of floats": torch.zeros(3, 4, 4),
    "tensor with its channels last": torch.zeros(4, 4, 3, dtype=torch.uint8),
    "tensor of 16 bits": torch.zeros(3, 4, 4, dtype=torch.int16),
    "PIL image of mode I": Image.new("I", (4, 4)),
    "PIL image of mode F": Image.new("F", (4, 4)),
    "PIL image of mode LAB": Image.new("LAB", (4, 4)),
    "PIL image that is cut": Image.open(io.BytesIO(JPEG[:-50])),
    "nothing": None,  # type: ignore[dict-item]
    "number": 5,  # type: ignore[dict-item]
    "list in a list": [SMOOTH],  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_named_by_its_number(name: str, model: Path) -> None:
    with pytest.raises(ModelError, match=r"^Crop 3 of the batch \(index 2\) ") as error:
        dsa_reid.load(model).embed([SMOOTH, SMOOTH, REFUSED[name], SMOOTH])
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


FILES = {
    "a.gif.jpg": encoded(Image.fromarray(SMOOTH), "GIF"),
    "cut.jpg": JPEG[:-50],
    "ends-early.jpg": JPEG[:-50] + b"\xff\xd9",
    "empty.jpg": b"",
    "cut.png": PNG16[:-50],
    "lzw.tif": encoded(Image.fromarray(SMOOTH), "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_refused_by_its_path_everywhere_for_one_reason(name: str, tmp_path: Path, model: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FILES[name])
    with pytest.raises(ModelError) as in_use:
        dsa_reid.load(model).embed([SMOOTH, path])
    with pytest.raises(ImageError) as in_training:
        trained_on(path)
    for error in (in_use, in_training):
        assert str(error.value).startswith(f"{path} ")
        assert "\n" not in str(error.value)
    reason = str(in_use.value).removeprefix(f"{path} cannot be read as an image: ")
    assert reason in str(in_training.value)


def test_the_limit_in_pixels_holds_everywhere(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSA_MAX_PIXELS", "900")
    path = written(tmp_path, "jpeg")
    for read in (dsa_reid.load(model).embed, trained_on, images.read):
        with pytest.raises((ModelError, ImageError), match=r"jpeg-1\.jpg .*21 x 43 pixels, more than the limit of 900"):
            read(path)
