"""Stores of version 3: how sure maps are, and maps of I alone; all other stores keep their version and bytes."""

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.iuv import IuvMap, IuvStore, mean_confidence, write_iuv
from small_stores import HEADER, KEYS, iuv_maps


def sure_maps(seed: int = 0) -> list[IuvMap]:
    """Return the maps of `small_stores` with confidences; the second has no person, and states none."""
    rng = np.random.default_rng(seed)
    maps = [
        replace(one, confidence=rng.integers(0, 256, one.iuv.shape[:2], dtype=np.uint8), image_confidence=0.25)
        for one in iuv_maps()
    ]
    empty = replace(maps[1], iuv=np.zeros_like(maps[1].iuv), confidence=None, image_confidence=math.nan)
    return [maps[0], empty, replace(maps[2], image_confidence=math.nan)]


def write(path: Path, maps: list[IuvMap], bits: int = 8, confidence: str = "pixels") -> IuvStore:
    shapes = np.array([one.iuv.shape[:2] for one in maps])
    return IuvStore(write_iuv(path, HEADER, KEYS, shapes, iter(maps), bits, confidence))  # type: ignore[arg-type]


def test_confidences_are_read_as_they_were_written(tmp_path: Path) -> None:
    maps = sure_maps()
    with write(tmp_path / "iuv.h5", maps) as store:
        assert (store.version, store.bits, store.confidence, store.has_uv) == (3, 8, "pixels", True)
        for index, expected in enumerate(maps):
            read = store.read(index)
            assert (read.iuv == expected.iuv).all()
            assert read.confidence is not None
            assert (read.confidence == (0 if expected.confidence is None else expected.confidence)).all()
        assert store.image_confidences[0] == 0.25
        assert store.image_confidences[1] == 0  # no body
        body = maps[2].iuv[..., 0] > 0
        assert maps[2].confidence is not None
        assert store.image_confidences[2] == np.float32(maps[2].confidence[body].mean() / 255)


def test_16_bits_have_confidences_too(tmp_path: Path) -> None:
    fine = [np.full((*one.iuv.shape[:2], 2), 7, np.uint16) for one in iuv_maps()]
    maps = [replace(one, fine=more) for one, more in zip(sure_maps(), fine, strict=True)]
    with write(tmp_path / "iuv.h5", maps, 16) as store:
        assert (store.version, store.bits, store.confidence) == (3, 16, "pixels")
        read = store.read(2)
        assert read.fine is not None
        assert read.confidence is not None
        assert (read.fine == 7).all()
        assert (read.confidence == maps[2].confidence).all()


def test_one_confidence_an_image(tmp_path: Path) -> None:
    maps = [replace(one, image_confidence=value) for one, value in zip(iuv_maps(), (0.5, math.nan, 1), strict=True)]
    with write(tmp_path / "iuv.h5", maps, confidence="images") as store:
        assert (store.version, store.confidence) == (3, "images")
        assert "confidence" not in store.file
        assert store.read(0).confidence is None
        assert [store.read(index).image_confidence for index in (0, 2)] == [0.5, 1]
        assert math.isnan(store.read(1).image_confidence)


def test_maps_of_i_alone(tmp_path: Path) -> None:
    maps = [replace(one, iuv=one.iuv * np.array([1, 0, 0], np.uint8), has_uv=False) for one in iuv_maps()]
    with write(tmp_path / "iuv.h5", maps, 0, "none") as store:
        assert (store.version, store.bits, store.confidence, store.has_uv) == (3, 0, "none", False)
        assert store.file["iuv"].shape[1] == 1
        for index, expected in enumerate(maps):
            assert (store.read(index).iuv == expected.iuv).all()
            assert not store.read(index).has_uv


def test_the_checksum_depends_on_what_is_stored(tmp_path: Path) -> None:
    first = sure_maps()[0]
    assert first.confidence is not None
    other = first.confidence.copy()
    other[0, 0] ^= 1
    alone = first.iuv * np.array([1, 0, 0], np.uint8)
    stores = [
        ([first], 8, "pixels"),
        ([replace(first, confidence=other)], 8, "pixels"),
        ([replace(first, image_confidence=0.75)], 8, "pixels"),
        ([first], 8, "images"),
        ([first], 8, "none"),
        ([replace(first, iuv=alone)], 8, "none"),
        ([replace(first, iuv=alone)], 0, "none"),
    ]
    checksums = set()
    for number, (maps, bits, confidence) in enumerate(stores):
        path = tmp_path / f"{number}.h5"
        write_iuv(path, HEADER, KEYS[:1], np.array([first.iuv.shape[:2]]), maps, bits, confidence)  # type: ignore[arg-type]
        checksums.add(IuvStore(path).checksums[0])
    assert len(checksums) == len(stores)


def test_maps_that_state_a_confidence_are_written_without_it_as_before(tmp_path: Path) -> None:
    plain = [replace(one, confidence=None, image_confidence=math.nan) for one in sure_maps()]
    write(tmp_path / "a.h5", sure_maps(), confidence="none").close()
    write(tmp_path / "b.h5", plain, confidence="none").close()
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert IuvStore(tmp_path / "a.h5").version == 1


def test_the_mean_is_that_of_the_body() -> None:
    iuv = np.zeros((1, 4, 3), np.uint8)
    iuv[0, :2, 0] = 3
    assert mean_confidence(iuv, np.array([[255, 0, 255, 255]], np.uint8)) == 0.5
    assert mean_confidence(iuv * 0, np.full((1, 4), 255, np.uint8)) == 0


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("pixel", "the map of a/1.jpg is damaged"),
        ("image", "the map of a/1.jpg is damaged"),
        ("range", "a confidence is not between 0 and 1"),
        ("bits", "it states 9 bits"),
        ("attribute", "damaged or cut short"),
        ("dataset", "damaged or cut short"),
    ],
)
def test_damage_of_version_3_is_found(tmp_path: Path, damage: str, reason: str) -> None:
    path = tmp_path / "iuv.h5"
    write(path, sure_maps()).close()
    with h5py.File(path, "r+") as file:
        if damage == "pixel":
            file["confidence"][0, 0] ^= 1
        elif damage in ("image", "range"):
            file["image_confidence"][0] = 2 if damage == "range" else 0.5
        elif damage == "bits":
            file.attrs["bits"] = 9
        elif damage == "attribute":
            del file.attrs["confidence"]
        else:
            del file["confidence"]
    with pytest.raises(StoreError) as error:
        IuvStore(path).read(0)
    assert reason in str(error.value)
