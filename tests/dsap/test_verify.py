"""Verifying a store: sound ones pass, every kind of damage is named, and none crashes or passes as texels."""

import dataclasses

import h5py
import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data import images
from dsa_data.records import Record, read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore
from dsap.config import WarpConfig
from dsap.stage import build
from dsap.verify import verify
from dsap_cases import Case


@pytest.fixture
def built(case: Case) -> Case:
    """The tiny dataset with its store, S = 8."""
    build(case.manifest, case.iuv, case.out, WarpConfig(size=8), case.root)
    return case


def faults(case: Case, records: list[Record] | None = None) -> list[str]:
    """Return the faults of the built store, as text."""
    return [str(fault) for fault in verify(case.out, records or read_manifest(case.manifest), IuvStore(case.iuv))]


def test_a_sound_store(built: Case) -> None:
    assert faults(built) == []
    assert list(verify(built.out)) == []


def test_keys_against_the_manifest(built: Case) -> None:
    records = read_manifest(built.manifest)
    new = dataclasses.replace(records[0], key="query/9999_c1s1_000001_00.jpg")
    found = faults(built, [*records[1:], new])
    assert found == [f"{new.key}: is not in the store", f"{records[0].key}: is not in the manifest"]


def test_a_picture_or_a_map_that_changed(built: Case) -> None:
    first = read_manifest(built.manifest)[0].key
    (built.root / first).write_bytes(images.encode_jpeg(np.full((24, 12, 3), 9, np.uint8)))
    built.list_images()
    assert faults(built) == [f"{first}: was another picture when it was warped"]
    built.make_maps()
    assert f"{first}: was warped from another I, U, V map" in faults(built)


@pytest.mark.parametrize(
    ("name", "place", "value", "words"),
    [
        ("count", (3, 0), 7777, "valid texels, its counts by chart tell"),
        ("checksum", 3, 1, "texels of"),
        ("digest", (3, 0), None, "was another picture when it was warped"),
        ("map", (3, 0), None, "was warped from another I, U, V map"),
    ],
)
def test_a_damaged_column(built: Case, name: str, place: tuple[int, ...], value: int | None, words: str) -> None:
    with h5py.File(built.out, "r+") as file:
        file[name][place] = file[name][place] ^ 255 if value is None else value
    found = faults(built)
    key = read_manifest(built.manifest)[3].key
    assert any(fault.startswith(key) and words in fault for fault in found)
    assert len(found) <= 2  # the header's digest of all inputs may tell too


def test_colour_where_nothing_landed(built: Case) -> None:
    with h5py.File(built.out, "r+") as file:
        count = file["count"][:].sum(axis=1)
        place = int(count.argmin())
        assert count[place] == 0
        file["texels"][place, 0, 0, 0] = 1
    assert len(faults(built)) == 1  # the checksum


def test_attributes_that_do_not_fit(built: Case) -> None:
    with h5py.File(built.out, "r+") as file:
        file.attrs["configuration"] = file.attrs["configuration"].replace('"size": 8', '"size": 9')
        file.attrs["inputs"] = "00" * 32
    assert faults(built) == [
        "the store: its attributes tell size 9, its texels have 8",
        "the store: its pictures and maps are not those that its attributes tell",
    ]


def test_what_is_no_store(built: Case) -> None:
    built.out.write_bytes(b"no HDF5 file")
    (found,) = faults(built)
    assert "dsap build --overwrite" in found


def truths(case: Case) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    store = DsapStore(case.out)
    parts = {key: store.read(place) for place, key in enumerate(store.keys)}
    store.close()
    return parts


def survives(case: Case, truth: dict[str, tuple[np.ndarray, np.ndarray]]) -> int:
    """Read all that a damaged store gives; check that it is the truth; return how many pictures it gave."""
    assert isinstance(faults(case), list)
    given = 0
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
        given += 1
    store.close()
    return given


def test_cut_short_anywhere(built: Case) -> None:
    truth, whole = truths(built), built.out.read_bytes()
    rng = np.random.default_rng(0)
    for keep in rng.integers(0, len(whole), 200):
        built.out.write_bytes(whole[:keep])
        assert survives(built, truth) == 0  # HDF5 knows how long the file should be
        assert faults(built) != []


def test_zeros_from_anywhere_to_the_end(built: Case) -> None:
    """What a file system may leave of a file after a power cut: its length, but not its content."""
    truth, whole = truths(built), built.out.read_bytes()
    rng = np.random.default_rng(1)
    for keep in rng.integers(0, len(whole), 60):
        built.out.write_bytes(whole[:keep] + bytes(len(whole) - keep))
        survives(built, truth)
        assert faults(built) != [] or not any(whole[keep:])


def test_a_byte_that_turned(built: Case) -> None:
    truth, whole = truths(built), built.out.read_bytes()
    rng = np.random.default_rng(2)
    for place, turned in zip(rng.integers(0, len(whole), 60), rng.integers(1, 256, 60), strict=True):
        built.out.write_bytes(whole[:place] + bytes([whole[place] ^ turned]) + whole[place + 1 :])
        given = survives(built, truth)
        assert given == len(truth) or faults(built) != []
