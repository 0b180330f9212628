"""Crops in every form that people have them, and what is refused."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dsa_reid.crops import Crop, as_rgb, many
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
    with pytest.raises(ModelError, match=r"nowhere\.jpg cannot be read as an image: it does not exist"):
        as_rgb(tmp_path / "nowhere.jpg")
    with pytest.raises(ModelError, match=r"cannot be read as an image: Is a directory"):
        as_rgb(tmp_path)
    with pytest.raises(ModelError, match="its name is not a path"):
        as_rgb("a\0b.jpg")
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(ModelError, match=r"text\.jpg cannot be read as an image: it is not a JPEG, PNG"):
        as_rgb(tmp_path / "text.jpg")
    (tmp_path / "empty.jpg").write_bytes(b"")
    with pytest.raises(ModelError, match=r"empty\.jpg cannot be read as an image: the file is empty"):
        as_rgb(tmp_path / "empty.jpg")
    Image.fromarray(np.tile(PICTURE, (8, 8, 1))).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:2000])
    with pytest.raises(ModelError, match=r"cut\.jpg cannot be read as an image: it is truncated"):
        as_rgb(tmp_path / "cut.jpg")
    with pytest.raises(ModelError, match="is of type int, which is not an image"):
        as_rgb(5)


def test_what_the_caller_changes_afterwards_does_not_matter() -> None:
    array, tensor = PICTURE.copy(), torch.from_numpy(PICTURE.copy()).permute(2, 0, 1)
    crops = as_rgb(array), as_rgb(tensor)
    array[:] = 0
    tensor.zero_()
    for crop in crops:
        assert np.array_equal(crop.numpy(), PICTURE)
        assert crop.is_contiguous()


ONE = [
    "a.jpg",
    Path("a.jpg"),
    b"bytes",
    bytearray(b"bytes"),
    memoryview(b"bytes"),
    PICTURE,
    PICTURE[..., 0],
    torch.from_numpy(PICTURE).permute(2, 0, 1),
    Image.fromarray(PICTURE),
]


@pytest.mark.parametrize("crop", ONE, ids=lambda crop: type(crop).__name__)
def test_a_single_crop_is_a_list_of_one(crop: Crop) -> None:
    (only,) = many(crop)
    assert only is crop


@pytest.mark.parametrize(
    "crops",
    [
        ["a.jpg", PICTURE],
        ("a.jpg",),
        iter(["a.jpg"]),
        np.stack([PICTURE]),
        torch.zeros(2, 3, 4, 5, dtype=torch.uint8),
        np.array(["a.jpg", "b.jpg"]),
        [],
    ],
    ids=lambda crops: type(crops).__name__,
)
def test_several_crops_stay_as_they_are(crops: Iterable[Crop]) -> None:
    assert many(crops) is crops


@pytest.mark.parametrize("crops", [5, None, 1.5, {"a.jpg": 1}], ids=str)
def test_neither_a_crop_nor_several(crops: object) -> None:
    with pytest.raises(ModelError, match=r"Crops of type \w+ cannot be used: give a list"):
        many(crops)  # type: ignore[arg-type]
