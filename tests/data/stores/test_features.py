"""The feature store: rows are read as they were written, by blocks from disk; a damaged file is reported."""

import dataclasses
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.features import FeatureStore, Origin, write_features
from dsa_data.stores.header import Header

ORIGIN = Origin("ab" * 32, {"height": 64}, {"global": 4, "local": 8})
ROWS = np.random.default_rng(0).normal(size=(7, 12)).astype(np.float32)
KEYS = [f"gallery/{n}.jpg" for n in range(7)]
DIGESTS = [f"{n:064x}" for n in range(7)]


def written(path: Path, rows: np.ndarray = ROWS, dtype: str = "float32", keys: list[str] = KEYS) -> Path:
    header = Header("tiny", {"origin": dataclasses.asdict(ORIGIN)}, "made up")
    blocks = (rows[start : start + 3] for start in range(0, len(rows), 3))
    return write_features(path, header, keys, DIGESTS[: len(keys)], rows.shape, dtype, blocks)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_written_is_read(tmp_path: Path, dtype: str) -> None:
    store = FeatureStore(written(tmp_path / "features.h5", dtype=dtype))
    expected = ROWS.astype(dtype)
    assert (store.shape, store.dtype, store.keys, store.digests) == ((7, 12), expected.dtype, KEYS, DIGESTS)
    assert store.origin == ORIGIN
    np.testing.assert_array_equal(store.read(), expected)
    np.testing.assert_array_equal(store[2:5], expected[2:5])


def test_a_store_without_rows(tmp_path: Path) -> None:
    store = FeatureStore(written(tmp_path / "features.h5", ROWS[:0], keys=[]))
    assert store.read().shape == (0, 12)


def test_the_same_features_give_the_same_bytes_and_identity(tmp_path: Path) -> None:
    first, again, other = (
        written(tmp_path / f"{name}.h5", rows) for name, rows in (("a", ROWS), ("b", ROWS), ("c", -ROWS))
    )
    assert first.read_bytes() == again.read_bytes()
    assert FeatureStore(first).identity == FeatureStore(again).identity != FeatureStore(other).identity


def test_a_flipped_bit_is_reported_with_the_key(tmp_path: Path) -> None:
    path = written(tmp_path / "features.h5")
    with h5py.File(path, "r") as file:
        position = file["features"].id.get_offset() + 4 * 12 * 4 + 5  # in the fifth row
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    store = FeatureStore(path)
    np.testing.assert_array_equal(store[:4], ROWS[:4])
    with pytest.raises(StoreError, match=r"the feature of gallery/4\.jpg is damaged.*dsa-train embed"):
        store[3:6]


def test_a_row_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large gallery is read again for every block of queries."""
    checked = []
    store = FeatureStore(written(tmp_path / "features.h5"))
    checksum = zlib.crc32
    monkeypatch.setattr(zlib, "crc32", lambda row: (checked.append(len(row)), checksum(row))[1])
    for some, count in ((slice(0, 3), 3), (slice(0, 3), 3), (slice(2, 5), 6), (slice(None), 13), (slice(None), 13)):
        np.testing.assert_array_equal(store[some], ROWS[some])
        assert len(checked) == count


def test_a_file_cut_short_is_reported(tmp_path: Path) -> None:
    path = written(tmp_path / "features.h5")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(StoreError, match="damaged or cut short"):
        FeatureStore(path)
