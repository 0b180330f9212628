"""Statistics of a store, counted by hand."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from densepose_extract import stats
from densepose_extract.stage import Outcome
from dsa_app.errors import DatasetError
from dsa_data.records import Record
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, IuvStore, write_iuv

STATUSES = ["found", "none", "fallback", "found"]


def records() -> list[Record]:
    cameras = [("query", 1), ("train", 1), ("train", 2), ("train", 2)]
    return [Record(f"{n}.jpg", split, 1, camid, 4, 2, "00" * 32) for n, (split, camid) in enumerate(cameras)]


@pytest.fixture
def store(tmp_path: Path) -> IuvStore:
    """Four images of 4 × 2 pixels; image n shows n pixels of chart 2, and image 3 also one of chart 24."""
    maps = []
    for n, status in enumerate(STATUSES):
        iuv = np.zeros((2, 4, 3), np.uint8)
        iuv[0, :n, 0] = 2
        iuv[1, 0, 0] = 24 * (n == 3)
        maps.append(IuvMap(iuv, n / 4, np.zeros(4), status, "00" * 32, "00" * 32))
    header = Header("tiny", {"engine": "native", "checkpoint": "ab" * 32}, "00" * 32)
    keys = [record.key for record in records()]
    return IuvStore(write_iuv(tmp_path / "iuv.h5", header, keys, np.array([(2, 4)] * 4), maps))


def test_pixels_by_chart(store: IuvStore) -> None:
    pixels, confidence = stats.count_pixels(store)
    assert np.isnan(confidence).all()
    assert pixels[:, 0].tolist() == [8, 7, 6, 4]
    assert pixels[:, 2].tolist() == [0, 1, 2, 3]
    assert pixels[:, 24].tolist() == [0, 0, 0, 1]
    assert (pixels.sum(axis=1) == 8).all()


def test_confidences_of_charts_and_of_images(store: IuvStore, tmp_path: Path) -> None:
    """Chart 2 has 6 pixels in all, of 51, 102 and 153 by image: the mean is (1·51 + 2·102 + 3·153) / 6 = 119."""
    maps = []
    for index in range(4):
        one = store.read(index)
        maps.append(replace(one, confidence=np.full((2, 4), 51 * index, np.uint8)))
    shapes = np.array([(2, 4)] * 4)
    sure = IuvStore(write_iuv(tmp_path / "sure.h5", store.header, store.keys, shapes, maps, confidence="pixels"))
    pixels, confidence = stats.count_pixels(sure)
    assert confidence[2] == pytest.approx(119 / 255)
    assert confidence[24] == pytest.approx(0.6)
    assert np.isnan(confidence[5])
    assert stats.visible_charts(pixels, confidence)[2].split()[:7] == [
        "2",
        "torso",
        "front",
        "75.0%",
        "85.7%",
        "0.47",
        "#" * 30,
    ]
    text = stats.report(sure, records())
    start = text.index("confidence, where a person was detected")
    detected = [index for index, status in enumerate(STATUSES) if status != "none"]
    assert sum(int(line.split()[3]) for line in text[start + 1 : start + 11]) == len(detected)


def test_by_camera() -> None:
    lines = [line.split() for line in stats.by_camera(STATUSES, records())]
    assert lines == [
        ["split", "camera", "images", "found", "fallback", "none"],
        ["query", "1", "1", "1", "100.0%", "0", "0.0%", "0", "0.0%"],
        ["query", "all", "1", "1", "100.0%", "0", "0.0%", "0", "0.0%"],
        ["train", "1", "1", "0", "0.0%", "0", "0.0%", "1", "100.0%"],
        ["train", "2", "2", "1", "50.0%", "1", "50.0%", "0", "0.0%"],
        ["train", "all", "3", "1", "33.3%", "1", "33.3%", "1", "33.3%"],
        ["total", "4", "2", "50.0%", "1", "25.0%", "1", "25.0%"],
    ]


def test_visible_charts(store: IuvStore) -> None:
    lines = stats.visible_charts(stats.count_pixels(store)[0])
    assert len(lines) == 25
    assert lines[2].split()[:6] == ["2", "torso", "front", "75.0%", "85.7%", "#" * 30]
    assert lines[24].split()[:6] == ["24", "left", "head", "25.0%", "14.3%", "#" * 10]
    assert "#" not in lines[1]


def test_histogram() -> None:
    lines = stats.histogram(np.array([0.0, 0.05, 0.55, 1.0]))
    assert [int(line.split()[3]) for line in lines] == [2, 0, 0, 0, 0, 1, 0, 0, 0, 1]
    assert lines[0].endswith("#" * stats.BAR)
    assert lines[5].count("#") == stats.BAR // 2
    assert stats.bar(0.001) == "#"
    assert stats.bar(0.0) == ""


def test_plain_values_are_those_of_the_report(store: IuvStore) -> None:
    found, lines = stats.plain(store, records()), stats.report(store, records())
    json.dumps(found, allow_nan=False)
    for row, line in zip(found["statuses"], lines[1:], strict=False):
        numbers = [str(row[name]) for name in ("images", *stats.STATUSES)]
        assert [cell for cell in line.split() if not cell.endswith("%")][-4:] == numbers
    assert found["statuses"][-1]["split"] == "total"
    assert found["statuses"][-1]["images"] == found["images"] == len(store)
    start = next(n for n, line in enumerate(lines) if line.startswith("chart"))
    for chart, line in zip(found["charts"], lines[start + 1 :], strict=False):
        assert f"{chart['chart']:4} {chart['name']:23}{chart['seen_in']:9.1%}{chart['of_body']:9.1%}" in line
        assert chart["confidence"] is None
    assert sum(found["histograms"]["body"]) == len(store)
    with pytest.raises(DatasetError, match=r"iuv\.h5 was made from another manifest"):
        stats.plain(store, records()[:-1])


def test_report(store: IuvStore) -> None:
    text = "\n".join(stats.report(store, records()))
    assert "share of the image that is body" in text
    assert "score, where a person was detected" in text
    with pytest.raises(DatasetError, match=r"iuv\.h5 was made from another manifest"):
        stats.report(store, records()[:-1])


def test_summary(store: IuvStore) -> None:
    lines = stats.summary(store, Outcome(store.path, made=3, seconds=1.5, skipped={"1.jpg": "1.jpg is missing."}))
    assert lines[0].startswith(f"{store.path}: 4 maps, 0.0 MiB")
    assert lines[1:] == [
        "3 maps made in 1.5 s, 2.0 a second",
        "2 found, 1 fallback, 1 none: 1 could not be read; their maps are empty",
        f"checkpoint SHA-256 {'ab' * 32}",
        "1 images could not be read and have an empty map:",
        "  1.jpg is missing.",
    ]
    assert "up to date" in stats.summary(store, Outcome(store.path, changed=False))[1]


@pytest.mark.parametrize(
    ("skipped", "without_person", "says"),
    [
        (0, None, ": in 147 no person was detected; their maps are empty"),
        (7, None, ": 7 could not be read, in 140 no person was detected; their maps are empty"),
        (147, None, ": 147 could not be read; their maps are empty"),
        (
            0,
            9,
            ": 9 show no person, in 138 the imitated errors of an estimator (extract.errors) missed the person; "
            "their maps are empty",
        ),
        (0, 147, ": 147 show no person; their maps are empty"),
    ],
)
def test_why_images_have_no_map(skipped: int, without_person: int | None, says: str) -> None:
    assert stats.explained(147, skipped, without_person) == says
    assert stats.explained(0, 0, None) == ""
