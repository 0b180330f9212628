"""Maps in files: read as they are, cleared where there is no body, refused where they do not fit their image."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densepose_extract.engines.map_files import map_name
from densepose_extract.engines.maps import MapFile, Maps, body_box
from densepose_extract.engines.rendered import Rendered
from dsa_app.errors import ImageError
from dsa_data.records import Record
from tiny import random_iuv, write_iuv_image


def record(height: int = 6, width: int = 8) -> Record:
    return Record("query/0001_c1s1_000001_00.jpg", "query", 1, 1, width, height, "00" * 32)


def test_box_by_hand() -> None:
    iuv = np.zeros((6, 8, 3), np.uint8)
    iuv[1, 2, 0] = 5
    iuv[4, 6, 0] = 24
    assert body_box(iuv).tolist() == [2, 1, 7, 5]


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_read_in_either_order(tmp_path: Path, order: str) -> None:
    iuv = random_iuv(6, 8)
    path = write_iuv_image(tmp_path / "a_IUV.png", iuv, order)
    answer = MapFile(path, "", order, score=1.0).read(record())
    assert (answer.iuv == iuv).all()
    assert answer.iuv.flags.c_contiguous
    assert (answer.status, answer.score, answer.box.tolist()) == ("found", 1.0, [2, 1, 6, 5])
    assert answer.box.dtype == np.float32


def test_u_and_v_are_cleared_where_there_is_no_body(tmp_path: Path) -> None:
    iuv = random_iuv(6, 8)
    dirty = iuv.copy()
    dirty[0, :, 1:] = 77
    answer = MapFile(write_iuv_image(tmp_path / "a_IUV.png", dirty), "").read(record())
    assert (answer.iuv == iuv).all()


def test_no_person(tmp_path: Path) -> None:
    iuv = np.zeros((6, 8, 3), np.uint8)
    iuv[2, 2, 1] = 9  # U without a chart is no body
    for file in (MapFile(write_iuv_image(tmp_path / "a_IUV.png", iuv), "", score=1.0), MapFile(None, "")):
        answer = file.read(record())
        assert (answer.status, answer.score, answer.iuv.any()) == ("none", 0.0, False)
        assert np.isnan(answer.box).all()


def test_a_map_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = write_iuv_image(tmp_path / "a_IUV.png", random_iuv(6, 8))
    with pytest.raises(ImageError, match=r"a_IUV\.png is 8x6, but its image query/0001.*jpg is 8x12"):
        MapFile(path, "").read(record(12, 8))
    with pytest.raises(ImageError, match=r"a_IUV\.png has chart 2\d\d, expected 0 to 24"):
        MapFile(path, "", "bgr").read(record())
    with pytest.raises(ImageError, match=r"b_IUV\.png is missing"):
        MapFile(tmp_path / "b_IUV.png", "").read(record())
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(ImageError, match=r"a_IUV\.png does not decode"):
        MapFile(path, "").read(record())


def test_names() -> None:
    assert map_name("query/0001.c1.jpg") == "query/0001.c1_IUV.png"
    assert map_name("front1.png") == "front1_IUV.png"


@settings(max_examples=30, deadline=None)
@given(pixels=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4)), min_size=1, max_size=6))
def test_box_holds_every_body_pixel_and_touches_the_outermost(pixels: list[tuple[int, int]]) -> None:
    iuv = np.zeros((10, 5, 3), np.uint8)
    for y, x in pixels:
        iuv[y, x] = (1, 0, 0)
    ys, xs = zip(*pixels, strict=True)
    assert body_box(iuv).tolist() == [min(xs), min(ys), max(xs) + 1, max(ys) + 1]


def test_engines_that_read_maps_are_distinguished_from_networks(tmp_path: Path) -> None:
    (tmp_path / "iuv").mkdir()
    assert isinstance(Rendered(tmp_path), Maps)
    assert not isinstance(object(), Maps)
