"""Crops in every form that people have them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsa_data import images
from dsa_reid.crops import as_rgb
from dsa_reid.errors import ModelError

PICTURE = np.random.default_rng(0).integers(0, 256, (20, 10, 3), dtype=np.uint8)


def test_every_kind_of_crop_is_the_same_image(tmp_path: Path) -> None:
    file = tmp_path / "crop.png"
    Image.fromarray(PICTURE).save(file)
    bgr = np.ascontiguousarray(PICTURE[..., ::-1])
    forms = [file, str(file), PICTURE, bgr[..., ::-1], Image.fromarray(PICTURE)]
    forms.append(torch.from_numpy(PICTURE).permute(2, 0, 1))
    for form in forms:
        assert np.array_equal(as_rgb(form).numpy(), PICTURE)


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_files_are_read_as_in_training(tmp_path: Path, quality: int) -> None:
    """Training decodes with OpenCV, the deployable with torchvision: the same bytes, or features would drift."""
    smooth = np.asarray(Image.fromarray(PICTURE).resize((64, 128), Image.Resampling.BICUBIC))
    path = tmp_path / "crop.jpg"
    path.write_bytes(images.encode_jpeg(smooth, quality))
    assert np.array_equal(as_rgb(path).numpy(), images.read(path))


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    grey = Image.fromarray(PICTURE[..., 0])
    grey.save(tmp_path / "grey.png")
    expected = np.repeat(PICTURE[..., :1], 3, axis=2)
    assert np.array_equal(as_rgb(tmp_path / "grey.png").numpy(), expected)
    assert np.array_equal(as_rgb(grey).numpy(), expected)


def test_a_read_only_array_is_not_changed() -> None:
    frame = PICTURE.copy()
    frame.setflags(write=False)
    crop = as_rgb(frame[2:8, 1:5])
    crop.zero_()
    assert np.array_equal(frame, PICTURE)


@pytest.mark.parametrize(
    "wrong",
    [
        PICTURE[..., 0],
        PICTURE.astype(np.float32),
        PICTURE[:0],
        np.zeros((5, 5, 4), np.uint8),
        torch.zeros(5, 5, 3, dtype=torch.uint8),
        torch.zeros(3, 5, 5),
    ],
    ids=["grey", "float", "empty", "RGBA", "channels last", "float tensor"],
)
def test_another_shape_or_type_is_refused(wrong: object) -> None:
    with pytest.raises(ModelError, match="expected uint8 RGB"):
        as_rgb(wrong)


def test_a_file_that_is_not_an_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.jpg.*does not exist"):
        as_rgb(tmp_path / "nowhere.jpg")
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(ModelError, match=r"text\.jpg cannot be read as an image"):
        as_rgb(tmp_path / "text.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ModelError, match=r"empty\.jpg cannot be read as an image"):
        as_rgb(tmp_path / "empty.jpg")
    Image.fromarray(np.tile(PICTURE, (8, 8, 1))).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"cut\.jpg cannot be read as an image"):
        as_rgb(tmp_path / "cut.jpg")
    with pytest.raises(ModelError, match="type int cannot be used"):
        as_rgb(5)
