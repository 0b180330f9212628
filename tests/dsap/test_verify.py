"""Verifying a store: an intact one has no fault, every kind of damage is named, and none is read as texels."""

import dataclasses
import zlib

import h5py
import numpy as np
import pytest
import zstandard

from dsa_app.errors import StoreError
from dsa_data import images
from dsa_data.records import Record, read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore
from dsap.config import WarpConfig
from dsap.stage import build
from dsap.verify import verify
from dsap_cases import Case
from small_stores import as_version_1


@pytest.fixture
def built(case: Case) -> Case:
    """The tiny dataset with its store, S = 8."""
    build(case.manifest, case.iuv, case.out, WarpConfig(size=8), case.root)
    return case


def faults(case: Case, records: list[Record] | None = None) -> list[str]:
    """Return the faults of the built store, as text."""
    return [str(fault) for fault in verify(case.out, records or read_manifest(case.manifest), IuvStore(case.iuv))]


def test_an_intact_store(built: Case) -> None:
    assert faults(built) == []
    assert list(verify(built.out)) == []


def test_keys_against_the_manifest(built: Case) -> None:
    records = read_manifest(built.manifest)
    new = dataclasses.replace(records[0], key="query/9999_c1s1_000001_00.jpg")
    result = faults(built, [*records[1:], new])
    assert result == [f"{new.key}: is not in the store", f"{records[0].key}: is not in the manifest"]


def test_an_image_or_a_map_that_changed(built: Case) -> None:
    first = read_manifest(built.manifest)[0].key
    (built.root / first).write_bytes(images.encode_jpeg(np.full((24, 12, 3), 9, np.uint8)))
    built.list_images()
    assert faults(built) == [f"{first}: was warped from another image file"]
    built.make_maps()
    assert f"{first}: was warped with another I, U, V map" in faults(built)


@pytest.mark.parametrize(
    ("name", "index", "value", "words"),
    [
        ("count", (3, 0), 7777, "valid texels, but counts by chart of"),
        ("checksum", 3, 1, "texels of"),
        ("chart_checksum", 3, 1, "the charts of"),
        ("digest", (3, 0), None, "was warped from another image file"),
        ("map", (3, 0), None, "was warped with another I, U, V map"),
    ],
)
def test_a_damaged_column(built: Case, name: str, index: tuple[int, ...], value: int | None, words: str) -> None:
    with h5py.File(built.out, "r+") as file:
        file[name][index] = file[name][index] ^ 255 if value is None else value
    result = faults(built)
    key = read_manifest(built.manifest)[3].key
    assert any(fault.startswith(key) and words in fault for fault in result)
    assert len(result) <= 2  # the header's digest of all inputs may differ too


@pytest.mark.parametrize(
    ("value", "words"), [(25, "has the value 25 in its chart image"), (0, "has other charts in its chart image")]
)
def test_a_chart_image_that_does_not_fit_its_texels(built: Case, value: int, words: str) -> None:
    with DsapStore(built.out) as store:
        index = int(store.counts.sum(axis=1).argmax())
        key, shape = store.keys[index], store.read_charts(index).shape
        offset = store.file["chart_offset"][:]
    pixels = np.full(shape, value, np.uint8).tobytes()
    frame = np.frombuffer(zstandard.compress(pixels), np.uint8)
    with h5py.File(built.out, "r+") as file:
        frames = file["charts"][:]
        parts = [frames[: offset[index]], frame, frames[offset[index + 1] :]]
        del file["charts"]
        file["charts"] = np.concatenate(parts)
        file["chart_offset"][index + 1 :] = offset[index + 1 :] + len(frame) - (offset[index + 1] - offset[index])
        file["chart_checksum"][index] = zlib.crc32(pixels)
    (fault,) = faults(built)
    assert fault.startswith(key)
    assert words in fault


def test_a_store_of_version_1_is_intact(built: Case) -> None:
    as_version_1(built.out)
    assert faults(built) == []


def test_a_colour_in_an_invalid_texel(built: Case) -> None:
    with h5py.File(built.out, "r+") as file:
        count = file["count"][:].sum(axis=1)
        index = int(count.argmin())
        assert count[index] == 0
        file["texels"][index, 0, 0, 0] = 1
    assert len(faults(built)) == 1  # the checksum


def test_attributes_that_do_not_fit(built: Case) -> None:
    with h5py.File(built.out, "r+") as file:
        file.attrs["configuration"] = file.attrs["configuration"].replace('"size": 8', '"size": 9')
        file.attrs["inputs"] = "00" * 32
    assert faults(built) == [
        "the store: has the attribute size 9, but texels of size 8",
        "the store: has other images or maps than its attribute inputs states",
    ]


def test_another_file_than_a_store(built: Case) -> None:
    built.out.write_bytes(b"no HDF5 file")
    (fault,) = faults(built)
    assert "dsap build --overwrite" in fault


def stored_parts(case: Case) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    store = DsapStore(case.out)
    parts = {key: store.read(index) for index, key in enumerate(store.keys)}
    store.close()
    return parts


def readable(case: Case, truth: dict[str, tuple[np.ndarray, np.ndarray]]) -> int:
    """Read all that is readable in a damaged store, check it, and return the number of images."""
    assert isinstance(faults(case), list)
    count = 0
    try:
        store = DsapStore(case.out)
    except StoreError:
        return 0
    for key in truth:
        try:
            texels, valid = store.read(store.index(key))
        except StoreError:
            continue
        assert (texels == truth[key][0]).all()
        assert (valid == truth[key][1]).all()
        count += 1
    store.close()
    return count


def test_cut_short_anywhere(built: Case) -> None:
    truth, whole = stored_parts(built), built.out.read_bytes()
    rng = np.random.default_rng(0)
    for keep in rng.integers(0, len(whole), 200):
        built.out.write_bytes(whole[:keep])
        assert readable(built, truth) == 0  # HDF5 knows how long the file should be
        assert faults(built) != []


def test_zeros_from_anywhere_to_the_end(built: Case) -> None:
    """A file after a power cut may have its length without its content."""
    truth, whole = stored_parts(built), built.out.read_bytes()
    rng = np.random.default_rng(1)
    for keep in rng.integers(0, len(whole), 60):
        built.out.write_bytes(whole[:keep] + bytes(len(whole) - keep))
        readable(built, truth)
        assert faults(built) != [] or not any(whole[keep:])


def test_a_flipped_byte(built: Case) -> None:
    truth, whole = stored_parts(built), built.out.read_bytes()
    rng = np.random.default_rng(2)
    for index, bits in zip(rng.integers(0, len(whole), 60), rng.integers(1, 256, 60), strict=True):
        built.out.write_bytes(whole[:index] + bytes([whole[index] ^ bits]) + whole[index + 1 :])
        assert readable(built, truth) == len(truth) or faults(built) != []
