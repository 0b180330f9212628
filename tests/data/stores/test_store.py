"""Stores: what goes in comes out, the same content gives the same bytes, and damage is never passed on."""

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import StoreError
from dsa_data.stores.dsap import DsapStore, pack, write_dsap
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, IuvStore, write_iuv

HEADER = Header("tiny", {"size": 8, "engine": {"name": "rendered"}}, "ab" * 32)
KEYS = ["a/1.jpg", "a/2.jpg", "b/ä.jpg"]


def iuv_maps(seed: int = 0) -> list[IuvMap]:
    rng = np.random.default_rng(seed)
    shapes = [(5, 3), (1, 1), (40, 20)]
    statuses = ["found", "none", "fallback"]
    return [
        IuvMap(rng.integers(0, 25, (*shape, 3), dtype=np.uint8), 0.5, np.arange(4.0), status, "0f" * 32, "f0" * 32)
        for shape, status in zip(shapes, statuses, strict=True)
    ]


def make_iuv(path: Path) -> Path:
    maps = iuv_maps()
    return write_iuv(path, HEADER, KEYS, np.array([m.iuv.shape[:2] for m in maps]), iter(maps))


def tensors(size: int = 8, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    for _ in KEYS:
        valid = rng.random((24, size, size)) < 0.2
        yield rng.integers(0, 256, (24, size, size, 3), dtype=np.uint8) * valid[..., None], valid


def make_dsap(path: Path, size: int = 8) -> Path:
    return write_dsap(path, HEADER, size, KEYS, (pack(t, v, "0f" * 32, "f0" * 32) for t, v in tensors(size)))


def test_iuv_round_trip(tmp_path: Path) -> None:
    store = IuvStore(make_iuv(tmp_path / "iuv.h5"))
    assert store.keys == KEYS
    assert store.header == HEADER
    for place, expected in enumerate(iuv_maps()):
        found = store.read(place)
        assert (found.iuv == expected.iuv).all()
        assert (found.score, found.status, found.digest, found.unit) == (0.5, expected.status, "0f" * 32, "f0" * 32)
        assert found.box.tolist() == [0, 1, 2, 3]


@settings(max_examples=20, deadline=None)
@given(size=st.integers(2, 40))
def test_dsap_round_trip_at_any_size(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    store = DsapStore(make_dsap(tmp_path_factory.mktemp("s") / "dsap.h5", size))
    assert store.size == size
    for place, (texels, valid) in enumerate(tensors(size)):
        found, found_valid = store.read(place)
        assert (found == texels).all()
        assert (found_valid == valid).all()
        assert store.counts[place].tolist() == valid.sum(axis=(1, 2)).tolist()
    many, many_valid = store.read_many([2, 0])
    assert (many[1] == store.read(0)[0]).all()
    assert (many_valid[0] == store.read(2)[1]).all()


def test_plain_h5py_reads_the_same(tmp_path: Path) -> None:
    store = DsapStore(make_dsap(tmp_path / "dsap.h5"))
    texels, valid = store.read(1)
    assert (store.file["texels"][1] == texels).all()
    assert (np.unpackbits(store.file["valid"][1]).reshape(24, 8, 8) == valid).all()


@pytest.mark.parametrize("make", [make_iuv, make_dsap])
def test_same_content_same_bytes(tmp_path: Path, make) -> None:
    first = make(tmp_path / "one.h5").read_bytes()
    time.sleep(1.1)  # a stored time, in seconds, would differ
    assert make(tmp_path / "two.h5").read_bytes() == first


@pytest.mark.parametrize("kind", ["iuv", "dsap"])
def test_cut_short_at_200_places(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.h5"
    whole = (make_iuv if kind == "iuv" else make_dsap)(path).read_bytes()
    for length in np.random.default_rng(1).integers(0, len(whole), 200):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"store\.h5"):
            _read_all(path, kind)


@pytest.mark.parametrize("kind", ["iuv", "dsap"])
def test_a_changed_byte_is_noticed_or_harmless(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.h5"
    whole = (make_iuv if kind == "iuv" else make_dsap)(path).read_bytes()
    truth = _read_all(path, kind)
    rng = np.random.default_rng(2)
    for place in rng.integers(0, len(whole), 300):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found = _read_all(path, kind)
        except StoreError:
            continue
        assert len(found) == len(truth)
        assert all((a == b).all() for a, b in zip(found, truth, strict=True))


def _read_all(path: Path, kind: str) -> list[np.ndarray]:
    if kind == "iuv":
        iuv = IuvStore(path)
        return [iuv.read(place).iuv for place in range(len(iuv))]
    dsap = DsapStore(path)
    return [array for place in range(len(dsap)) for array in dsap.read(place)]


def test_another_form_or_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="is not a dsa-reid dsap store"):
        DsapStore(make_iuv(tmp_path / "iuv.h5"))
    with pytest.raises(StoreError, match=r"none\.h5 does not exist"):
        IuvStore(tmp_path / "none.h5")
    monkeypatch.setattr("dsa_data.stores.header.VERSION", 2)
    with pytest.raises(StoreError, match="has version 1, this program reads 2"):
        IuvStore(tmp_path / "iuv.h5")


@pytest.mark.parametrize("limit", [600, 3000, 8000])
def test_a_full_disk_is_told_and_does_not_crash(tmp_path: Path, limit: int) -> None:
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_store import make_dsap
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
try:
    make_dsap(Path({str(tmp_path / "dsap.h5")!r}))
except OSError as error:
    assert error.filename.endswith("dsap.h5"), error
    sys.exit(2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")


def test_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"does not hold c/3\.jpg"):
        DsapStore(make_dsap(tmp_path / "dsap.h5")).index("c/3.jpg")


def test_reads_in_forked_and_pickled_copies(tmp_path: Path) -> None:
    store = DsapStore(make_dsap(tmp_path / "dsap.h5"))
    expected = store.read(1)[0].sum()
    assert pickle.loads(pickle.dumps(store)).read(1)[0].sum() == expected
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(_sum_of, [store] * 4, [1] * 4)) == [expected] * 4


def _sum_of(store: DsapStore, place: int) -> int:
    return store.read(place)[0].sum()
