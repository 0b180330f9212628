"""The average person's map for every image, as a control."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from densepose_extract.config import ExtractConfig
from densepose_extract.engines.average import HEIGHT, WIDTH, Average
from densepose_extract.engines.make import make_engine
from dsa_app.errors import ConfigError, EngineError
from dsa_data.records import Record
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv

SPLITS = ["train", "train", "train", "train", "query"]


def record(number: int, height: int = 8, width: int = 4) -> Record:
    folder = "bounding_box_train" if SPLITS[number] == "train" else "query"
    return Record(f"{folder}/{number}.jpg", SPLITS[number], number, 1, width, height, f"{number:064x}")


def map_of(chart: int, u: int, v: int, height: int = 8, width: int = 4) -> np.ndarray:
    """A map whose upper half is one chart with the same u and v everywhere."""
    iuv = np.zeros((height, width, 3), np.uint8)
    iuv[: height // 2] = chart, u, v
    return iuv


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*maps: np.ndarray) -> Path:
        path = tmp_path / "iuv.h5"
        values = [
            IuvMap(
                iuv, 1.0, np.zeros(4, np.float32), "found" if iuv.any() else "none", f"{number:064x}", f"{number:064x}"
            )
            for number, iuv in enumerate(maps)
        ]
        records = [record(number, *iuv.shape[:2]) for number, iuv in enumerate(maps)]
        shapes = np.array([(one.height, one.width) for one in records])
        write_iuv(path, Header("tiny", {"engine": "test"}, "0" * 64), [one.key for one in records], shapes, values)
        return path

    return write


def test_a_pixel_has_the_most_frequent_chart_and_its_mean_u_and_v(write: Callable[..., Path]) -> None:
    missed = np.zeros((8, 4, 3), np.uint8)  # counts for nothing: its body was not found, it is not absent
    tested = map_of(9, 200, 200)  # of a query: not averaged
    store = write(map_of(1, 10, 100), map_of(1, 21, 50), map_of(2, 200, 0), missed, tested)
    engine = Average(store, [record(number) for number in range(5)])
    answer = engine.find(record(4)).read(record(4))
    expected = map_of(1, 16, 75)  # (10 + 21) / 2 = 15.5, to the even number
    assert (answer.iuv == expected).all()
    assert (answer.status, answer.score) == ("found", 1.0)

    # in the upper half the background is the most frequent, in the lower half it comes first of three that are equal
    store = write(map_of(1, 5, 5), map_of(2, 5, 5)[::-1], map_of(3, 5, 5)[::-1], missed, tested)
    assert not Average(store, [record(number) for number in range(5)]).find(record(0)).read(record(0)).iuv.any()


def test_maps_and_images_of_other_sizes_are_scaled(write: Callable[..., Path]) -> None:
    store = write(*[map_of(3, 7, 9, height, 2 * height) for height in (4, 8, 16, 32, 8)])
    engine = Average(store, [record(number) for number in range(5)])
    for size in ((8, 4), (HEIGHT, WIDTH), (61, 33)):
        one = Record("query/x.jpg", "query", 1, 1, size[1], size[0], "0" * 64)
        iuv = engine.find(one).read(one).iuv
        assert iuv.shape == (*size, 3)
        assert (iuv[: size[0] // 2] == [3, 7, 9]).all()
        assert not iuv[(size[0] + 1) // 2 :].any()


def test_another_average_is_another_digest(write: Callable[..., Path]) -> None:
    records = [record(number) for number in range(5)]
    first = Average(write(*[map_of(1, 2, 3)] * 5), records).find(records[0])
    again = Average(write(*[map_of(1, 2, 3)] * 5), records).find(records[1])
    other = Average(write(*[map_of(1, 2, 4)] * 5), records).find(records[0])
    assert first.digest == again.digest != other.digest


def test_what_cannot_be_averaged_is_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    records = [record(number) for number in range(5)]
    empty = np.zeros((8, 4, 3), np.uint8)
    with pytest.raises(EngineError, match=r"iuv\.h5 has no map of a training image in which a person was found"):
        Average(write(empty, empty, empty, empty, map_of(1, 2, 3)), records)
    with pytest.raises(ConfigError, match=r"--set extract\.maps=artifacts/tiny/iuv\.h5"):
        make_engine(ExtractConfig(engine="average"), "tiny", tmp_path, records)
    with pytest.raises(ConfigError, match="bits = 16 is invalid for the engine average"):
        make_engine(ExtractConfig(engine="average", bits=16), "tiny", tmp_path, records)


def test_the_average_of_maps_of_i_alone_is_one(tmp_path: Path) -> None:
    iuv = map_of(5, 0, 0)
    one = IuvMap(iuv, 1.0, np.zeros(4, np.float32), "found", "0" * 64, "0" * 64, has_uv=False)
    path = write_iuv(tmp_path / "iuv.h5", Header("tiny", {}, ""), [record(0).key], np.array([(8, 4)]), [one], bits=0)
    engine = Average(path, [record(0)])
    answer = engine.find(record(0)).read(record(0))
    assert (answer.iuv == iuv).all()
    assert not answer.has_uv
    assert engine.identity == {"engine": "average", "bits": 0}
