"""Agreement of two stores: measures by hand and by a slow loop, totals, the worst images, and the command."""

import csv
import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from densepose_extract.cli import main
from densepose_extract.compare import Agreement, Least, agreement, compare, region_pixels, summary
from densepose_extract.compare_page import DIFFERENCES, differences, page
from dsa_app.errors import DatasetError
from dsa_data import images
from dsa_data.charts import BODY_REGIONS, REGION_OF_CHART
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, IuvStore, refine, write_iuv
from tiny import random_iuv


def one_map(iuv: np.ndarray, **changes: object) -> IuvMap:
    return IuvMap(iuv, 1.0, np.zeros(4), "found", "0f" * 32, "f0" * 32, **changes)  # type: ignore[arg-type]


def write(path: Path, maps: dict[str, IuvMap], dataset: str = "a folder", bits: int = 8) -> IuvStore:
    shapes = np.array([each.iuv.shape[:2] for each in maps.values()])
    header = Header(dataset, {"engine": "import"}, "")
    return IuvStore(write_iuv(path, header, list(maps), shapes, maps.values(), bits))


def test_by_hand() -> None:
    first, second = np.zeros((1, 6, 3), np.uint8), np.zeros((1, 6, 3), np.uint8)
    first[0, :5] = [(1, 10, 20), (1, 10, 20), (7, 0, 0), (23, 0, 0), (3, 9, 9)]
    second[0, 1:6] = [(1, 61, 122), (8, 0, 0), (5, 0, 0), (3, 9, 60), (3, 9, 9)]
    one = agreement("a", one_map(first), one_map(second))
    # Bodies: pixels 0 to 4 and 1 to 5. Of the four common ones 1 and 4 have one chart, and 2 one region (upper legs).
    assert (one.found, one.iou, one.chart, one.region) == ((True, True), 4 / 6, 2 / 4, 3 / 4)
    assert one.u == pytest.approx((51 + 0) / 2 / 255)
    assert one.v == pytest.approx((102 + 51) / 2 / 255)
    assert one.score == 4 / 6 * 3 / 4


def test_without_a_person_and_without_u_and_v() -> None:
    empty, body = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 5, np.uint8)
    nobody = agreement("a", one_map(empty), one_map(empty))
    assert nobody.found == (False, False)
    assert math.isnan(nobody.iou)
    missed = agreement("a", one_map(empty), one_map(body))
    assert (missed.found, missed.iou, missed.score) == ((False, True), 0, 0)
    assert math.isnan(missed.chart)
    alone = agreement("a", one_map(body), one_map(body * np.array([1, 0, 0], np.uint8), has_uv=False))
    assert (alone.iou, alone.chart) == (1, 1)
    assert math.isnan(alone.u)
    assert math.isnan(alone.v)


def test_16_bits_are_compared_in_16_bits() -> None:
    chart = np.ones((2, 3), np.uint8)
    u = np.full((2, 3), 0.5)
    iuv = np.dstack([chart, np.full((2, 3), 128), np.full((2, 3), 128)]).astype(np.uint8)
    fine = [refine(chart, u, u + more) for more in (0, 0.001)]
    one = agreement("a", one_map(iuv, fine=fine[0]), one_map(iuv, fine=fine[1]))
    assert one.u == 0
    assert one.v == pytest.approx(0.001, abs=2e-5)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_equals_the_loop(seed: int) -> None:
    first, second = random_iuv(9, 7, seed), random_iuv(9, 7, seed + 1)
    second = np.where(np.random.default_rng(seed).random((9, 7, 1)) < 0.5, first, second)
    either = both = same = region = 0
    u: list[float] = []
    regions = np.zeros((2, 9), int)
    for y, x in np.ndindex(9, 7):
        a, b = (int(each[y, x, 0]) for each in (first, second))
        either += a > 0 or b > 0
        both += a > 0 and b > 0
        same += a == b > 0
        region += a > 0 and b > 0 and REGION_OF_CHART[a] == REGION_OF_CHART[b]
        if a == b > 0:
            u.append(abs(int(first[y, x, 1]) - int(second[y, x, 1])) / 255)
        for number in range(9):
            regions[0, number] += REGION_OF_CHART[a] == number == REGION_OF_CHART[b]
            regions[1, number] += number in (REGION_OF_CHART[a], REGION_OF_CHART[b])
    maps = one_map(first), one_map(second)
    one = agreement("a", *maps)
    expected = both / either, same / both, region / both, float(np.mean(u))
    assert (one.iou, one.chart, one.region, one.u) == pytest.approx(expected)
    assert (region_pixels(*maps) == regions).all()
    other = agreement("a", *maps[::-1])
    assert dataclasses.astuple(other)[2:] == pytest.approx(dataclasses.astuple(one)[2:])


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.tuples(st.integers(0, 5), st.sampled_from([(True, True), (True, False), (False, False)]))),
    size=st.integers(0, 6),
)
def test_the_worst_are_those_of_a_sort(scores: list[tuple[int, tuple[bool, bool]]], size: int) -> None:
    every = [Agreement(str(n), found, score / 5, 1.0, 1.0, 0.0, 0.0) for n, (score, found) in enumerate(scores)]
    least = Least(size)
    for one in every:
        least.add(one)
    seen = sorted((one for one in every if any(one.found)), key=lambda one: (not all(one.found), one.score))
    assert least.sorted() == seen[:size]


@pytest.fixture
def stores(tmp_path: Path) -> tuple[IuvStore, IuvStore]:
    """Two stores with eight images in common: the second misses one person, and sees others' charts exchanged."""
    first = {f"q/{n}.png": one_map(random_iuv(24, 12, n)) for n in range(9)}
    second = {f"q/{n}.png": one_map(random_iuv(24, 12, n)) for n in range(1, 10)}
    second["q/2.png"] = one_map(np.zeros((24, 12, 3), np.uint8))
    for n in (4, 5):
        iuv = second[f"q/{n}.png"].iuv.copy()
        iuv[:: n - 3, :, 0] = 24 - iuv[:: n - 3, :, 0] + (iuv[:: n - 3, :, 0] == 24)
        second[f"q/{n}.png"] = one_map(iuv)
    second["q/7.png"] = dataclasses.replace(second["q/7.png"], digest="aa" * 32)
    return write(tmp_path / "a.h5", first), write(tmp_path / "b.h5", second)


def test_totals_and_the_worst(stores: tuple[IuvStore, IuvStore], tmp_path: Path) -> None:
    result = compare(*stores, worst=3, csv_file=tmp_path / "all.csv")
    total = result.total
    assert result.left_out == (1, 1, 1)
    assert (total.images, total.both, total.first, total.second) == (7, 6, 1, 0)
    rows = list(csv.DictReader((tmp_path / "all.csv").open(encoding="utf-8")))
    assert [row["key"] for row in rows] == [f"q/{n}.png" for n in (1, 2, 3, 4, 5, 6, 8)]
    assert (rows[1]["found_a"], rows[1]["found_b"], rows[1]["chart"]) == ("1", "0", "")
    found = [row for row in rows if row["found_b"] == "1"]
    for name in ("iou", "chart", "region", "u", "v"):
        assert total.mean(name) == pytest.approx(np.mean([float(row[name]) for row in found if row[name]]), abs=1e-6)
    assert {one.key for one in result.worst[:2]} == {"q/4.png", "q/5.png"}
    assert compare(*stores, worst=0).worst == []
    text = "\n".join(summary(result))
    assert "7 images in both stores" in text
    assert "person detected by both 6, A only 1, B only 0, neither 0" in text
    assert "not compared: 1 in A only, 1 in B only, 1 of another file or size in B" in text
    assert set(total.region_iou()) == set(BODY_REGIONS)


def test_a_store_agrees_with_itself(stores: tuple[IuvStore, IuvStore]) -> None:
    total = compare(stores[0], stores[0]).total
    assert [total.mean(name) for name in ("iou", "chart", "region", "u", "v")] == [1, 1, 1, 0, 0]
    assert all(value == 1 for value in total.region_iou().values())


def test_stores_without_a_common_image_are_refused(stores: tuple[IuvStore, IuvStore], tmp_path: Path) -> None:
    other = write(tmp_path / "c.h5", {"x.png": one_map(random_iuv(3, 3))})
    with pytest.raises(DatasetError, match=r"a\.h5 and .*c\.h5 share no image"):
        compare(stores[0], other, csv_file=tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()


def test_the_colours_of_differences() -> None:
    first = np.zeros((1, 6, 3), np.uint8)
    second = first.copy()
    first[0, :, 0] = 1, 7, 7, 5, 0, 0
    second[0, :, 0] = 1, 8, 1, 0, 5, 0
    panel = differences(np.zeros((1, 6, 3), np.uint8), first, second)
    assert [tuple(colour) for colour in panel[0, :5].tolist()] == list(DIFFERENCES.values())
    assert tuple(panel[0, 5]) not in DIFFERENCES.values()


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)


def test_the_command(stores: tuple[IuvStore, IuvStore], tmp_path: Path) -> None:
    paths = [store.path for store in stores]
    for n in range(10):
        images.write_png(tmp_path / "images" / f"q/{n}.png", np.full((24, 12, 3), 90, np.uint8))
    result = call("compare", *paths, "--csv", tmp_path / "c.csv", "--worst", 2)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-2:] == [str(tmp_path / "c.csv"), str(tmp_path / "compare.png")]
    without = images.read(tmp_path / "compare.png")
    result = call("compare", *paths, "--csv", tmp_path / "c.csv", "--worst", 2, "--json", "--quiet")
    assert result.stderr.splitlines() == [str(tmp_path / "c.csv"), str(tmp_path / "compare.png")]
    content = json.loads(result.stdout)
    assert (content["images"], content["found_by_a_only"], content["only_in_b"]) == (7, 1, 1)
    assert [row["key"] for row in content["worst"]] == [one.key for one in compare(*stores, worst=2).worst]
    assert content["worst"][0]["region"] is not None
    result = call("compare", *paths, "--root", tmp_path / "images", "--worst", 2, "--out", tmp_path / "with.png")
    assert result.exit_code == 0, result.output
    assert images.read(tmp_path / "with.png").shape == without.shape
    assert (images.read(tmp_path / "with.png") != without).any()
    assert "compare.png" not in call("compare", *paths, "--worst", 0).output


def test_a_page_of_one_image_has_one_column(stores: tuple[IuvStore, IuvStore]) -> None:
    result = compare(*stores, worst=3)
    one, three = (page(*stores, result.worst[:count], None) for count in (1, 3))
    assert one.shape[1] < three.shape[1]
    assert one.shape[0] < three.shape[0]
