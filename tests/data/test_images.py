"""Images: they are read as RGB and to the last row; others are reported by name."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsa_app.errors import ImageError
from dsa_data import images

IMAGE = np.random.default_rng(0).integers(0, 256, (9, 5, 3), dtype=np.uint8)


def test_red_is_first(tmp_path: Path) -> None:
    red = np.zeros((2, 3, 3), np.uint8)
    red[..., 0] = 255
    assert (images.read(images.write_png(tmp_path / "red.png", red)) == red).all()
    assert cv2.imread(str(tmp_path / "red.png"))[0, 0].tolist() == [0, 0, 255]


@pytest.mark.parametrize("kind", ["grey", "rgba", "16-bit", "1x1"])
def test_other_types_become_rgb(kind: str) -> None:
    stored = {
        "grey": IMAGE[..., 0],
        "rgba": np.concatenate([IMAGE, IMAGE[..., :1]], axis=2),
        "16-bit": IMAGE.astype(np.uint16) * 257,
        "1x1": IMAGE[:1, :1],
    }[kind]
    data = cv2.imencode(".png", stored)[1].tobytes()
    expected = {"grey": IMAGE[..., :1].repeat(3, 2), "1x1": IMAGE[:1, :1, ::-1]}.get(kind, IMAGE[..., ::-1])
    assert (images.decode(data, kind) == expected).all()


@given(part=st.floats(0, 1, exclude_max=True), form=st.sampled_from(["jpeg", "png"]))
def test_a_file_cut_short_anywhere_is_refused(part: float, form: str) -> None:
    data = images.encode_jpeg(IMAGE) if form == "jpeg" else images.encode_png(IMAGE)
    with pytest.raises(ImageError, match=r"x\.jpg does not decode"):
        images.decode(data[: int(part * len(data))], "x.jpg")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.jpg is missing"):
        images.read(tmp_path / "nowhere.jpg")


def test_an_image_above_the_limit_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    data = images.encode_png(np.zeros((30, 31, 3), np.uint8))
    monkeypatch.setenv("DSA_MAX_PIXELS", "900")
    with pytest.raises(ImageError, match="DSA_MAX_PIXELS=930") as error:
        images.decode(data, "a.png")
    assert "Copy it again" not in str(error.value)
