"""IUV images made elsewhere: matched by path or name, their channel order detected or required."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densepose_extract.engines.imported import Imported, channel_orders, inspect_map, match_files
from densepose_extract.engines.map_files import MapValues, decode_map
from densepose_extract.target import folder_entries
from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.records import Record, index
from tiny import random_iuv, write_iuv_image


def record(key: str) -> Record:
    return Record(key, "all", 0, 0, 8, 6, "00" * 32)


def ambiguous(seed: int = 0) -> np.ndarray:
    """A map whose V never exceeds 24, so that it may be in either order."""
    iuv = random_iuv(6, 8, seed)
    iuv[..., 2] %= 25
    return iuv


def read(engine: Imported, key: str) -> np.ndarray:
    return engine.find(record(key)).read(record(key)).iuv


def test_the_order_of_each_map_is_detected(tmp_path: Path) -> None:
    for name, order in (("a", "rgb"), ("b", "bgr")):
        write_iuv_image(tmp_path / f"{name}_IUV.png", random_iuv(6, 8, ord(name)), order)
    engine = Imported(tmp_path, [record("a.jpg"), record("b.png")])
    assert (read(engine, "a.jpg") == random_iuv(6, 8, ord("a"))).all()
    assert (read(engine, "b.png") == random_iuv(6, 8, ord("b"))).all()
    assert np.isnan(engine.find(record("a.jpg")).read(record("a.jpg")).score)


@pytest.mark.parametrize("order", ["rgb", "bgr"])
def test_an_ambiguous_map_has_the_order_of_its_folder(tmp_path: Path, order: str) -> None:
    write_iuv_image(tmp_path / "x" / "a_IUV.png", random_iuv(6, 8), order)
    write_iuv_image(tmp_path / "x" / "b_IUV.png", ambiguous(), order)
    write_iuv_image(tmp_path / "y" / "c_IUV.png", random_iuv(6, 8), "bgr" if order == "rgb" else "rgb")
    engine = Imported(tmp_path, [record("x/a.jpg"), record("x/b.jpg"), record("y/c.jpg")])
    assert (read(engine, "x/b.jpg") == ambiguous()).all()


def test_an_ambiguous_order_must_be_given(tmp_path: Path) -> None:
    write_iuv_image(tmp_path / "b_IUV.png", ambiguous(), "bgr")
    records = [record("b.jpg")]
    with pytest.raises(ImageError, match=r"b_IUV\.png.*order is ambiguous.*are ambiguous too.*--channels rgb.*bgr"):
        Imported(tmp_path, records)
    assert (read(Imported(tmp_path, records, channels="bgr"), "b.jpg") == ambiguous()).all()
    for name, order in (("a", "rgb"), ("c", "bgr")):
        write_iuv_image(tmp_path / f"{name}_IUV.png", random_iuv(6, 8), order)
    with pytest.raises(ImageError, match="have both orders"):
        Imported(tmp_path, [*records, record("a.jpg"), record("c.jpg")])


def test_an_empty_map_needs_no_order(tmp_path: Path) -> None:
    empty = np.zeros((6, 8, 3), np.uint8)
    empty[0, 0, 1] = 200
    write_iuv_image(tmp_path / "a_IUV.png", empty)
    engine = Imported(tmp_path, [record("a.jpg")])
    assert not read(engine, "a.jpg").any()


def test_another_image_is_refused(tmp_path: Path) -> None:
    write_iuv_image(tmp_path / "a_IUV.png", np.full((6, 8, 3), (200, 100, 150), np.uint8))
    with pytest.raises(ImageError, match=r"a_IUV\.png is not an IUV image: neither the first nor the last channel"):
        Imported(tmp_path, [record("a.jpg")])


def test_the_order_is_part_of_the_digest(tmp_path: Path) -> None:
    write_iuv_image(tmp_path / "a_IUV.png", ambiguous())
    as_rgb, as_bgr = (Imported(tmp_path, [record("a.jpg")], order) for order in ("rgb", "bgr"))
    assert as_rgb.find(record("a.jpg")).digest != as_bgr.find(record("a.jpg")).digest
    assert as_rgb.identity == as_bgr.identity


def test_missing_maps(tmp_path: Path) -> None:
    write_iuv_image(tmp_path / "a_IUV.png", random_iuv(6, 8))
    records = [record("a.jpg"), record("q/b.jpg"), record("q/c.jpg")]
    with pytest.raises(ImageError, match=r"no map for 2 of 3 images, first q/b\.jpg: expected q/b_IUV\.png"):
        Imported(tmp_path, records)
    engine = Imported(tmp_path, records, allow_missing=True)
    assert engine.missing == 2
    assert engine.find(records[1]).read(records[1]).status == "none"
    with pytest.raises(ImageError, match="is not a folder"):
        Imported(tmp_path / "none", records)


def test_matched_by_path_then_by_name(tmp_path: Path) -> None:
    for name in ("q/a", "t/a", "deep/er/b"):
        write_iuv_image(tmp_path / f"{name}_IUV.png", random_iuv(6, 8))
    found, unused = match_files(tmp_path, ["q/a.jpg", "t/a.jpg", "q/b.jpg"])
    assert unused == []
    assert [path.relative_to(tmp_path).as_posix() for path in found.values()] == [
        "q/a_IUV.png",
        "t/a_IUV.png",
        "deep/er/b_IUV.png",
    ]
    with pytest.raises(ImageError, match=r"both fit z/a\.jpg. Put its own map at .*z/a_IUV\.png"):
        match_files(tmp_path, ["z/a.jpg"])
    with pytest.raises(ImageError, match=r"b_IUV\.png fits both q/b\.jpg and t/b\.jpg"):
        match_files(tmp_path, ["q/b.jpg", "t/b.jpg"])
    with pytest.raises(ImageError, match=r"a_IUV\.png fits both q/a\.jpg and q/a\.png"):
        match_files(tmp_path, ["q/a.jpg", "q/a.png"])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    orders=st.lists(st.sampled_from(["rgb", "bgr"]), min_size=1, max_size=4),
)
def test_orders_of_unambiguous_maps_are_detected(
    tmp_path_factory: pytest.TempPathFactory, seed: int, orders: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("maps")
    paths = [
        write_iuv_image(folder / f"{n}_IUV.png", random_iuv(12, 12, seed + n), order) for n, order in enumerate(orders)
    ]
    assert channel_orders([inspect_map(path) for path in paths]) == orders


def test_several_processes_inspect_alike(tmp_path: Path) -> None:
    records = [record(f"{n:03}.jpg") for n in range(70)]
    for n, one in enumerate(records):
        write_iuv_image(tmp_path / one.key.replace(".jpg", "_IUV.png"), random_iuv(6, 8, n), ("rgb", "bgr")[n % 2])
    alone, two = Imported(tmp_path, records), Imported(tmp_path, records, jobs=2)
    assert [alone.find(one).digest for one in records] == [two.find(one).digest for one in records]


@pytest.mark.shared
def test_real_maps_of_both_orders_in_one_folder(shared: Path) -> None:
    root = shared / "real"
    records = index(root, folder_entries(root))
    assert [one.key for one in records] == ["back.png", "front1.png", "front2.png", "group.jpg"]
    engine = Imported(root, records)
    assert [engine.find(one).order for one in records] == ["rgb", "rgb", "rgb", "bgr"]
    answers = {one.key: engine.find(one).read(one) for one in records}
    assert {answer.status for answer in answers.values()} == {"found"}
    charts = {key: set(np.unique(answer.iuv[..., 0])) for key, answer in answers.items()}
    assert 2 in charts["front1.png"] - charts["back.png"]  # torso in front
    assert 1 in charts["back.png"] - charts["front1.png"]  # torso behind
    front = answers["front1.png"].iuv[..., 0]
    mean = {chart: np.nonzero(front == chart)[1].mean() for chart in (3, 4, 23, 24)}
    assert mean[3] < mean[4]  # her right hand and half of the face are on the viewer's left
    assert mean[23] < mean[24]
    assert images.read(root / "group.jpg").shape == answers["group.jpg"].iuv.shape


def test_a_map_of_16_bits_is_refused(tmp_path: Path) -> None:
    """Cut to 8 bits all its charts would be 0: an empty map."""
    iuv = np.full((8, 4, 3), 2, np.uint16)
    (tmp_path / "a_IUV.png").write_bytes(cv2.imencode(".png", iuv)[1].tobytes())
    with pytest.raises(ImageError, match=r"a_IUV\.png has 16 bits a channel, expected 8"):
        inspect_map(tmp_path / "a_IUV.png")


def test_each_map_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def counting(data: bytes, path: Path) -> MapValues:
        decoded.append(path.name)
        return decode_map(data, path)

    monkeypatch.setattr("densepose_extract.engines.maps.decode_map", counting)
    keys = [f"{n}.jpg" for n in range(5)]
    for n, key in enumerate(keys):
        write_iuv_image(tmp_path / key.replace(".jpg", "_IUV.png"), random_iuv(6, 8, n))
    engine = Imported(tmp_path, [record(key) for key in keys])
    for n, key in enumerate(keys):
        assert (read(engine, key) == random_iuv(6, 8, n)).all()
    assert decoded == sorted(decoded)
    assert len(decoded) == 5
    # Beyond the memory that is set aside, a map is decoded again.
    monkeypatch.setattr("densepose_extract.engines.imported.MEMORY", 1)
    assert (read(Imported(tmp_path, [record("3.jpg")]), "3.jpg") == random_iuv(6, 8, 3)).all()
    assert len(decoded) == 7
