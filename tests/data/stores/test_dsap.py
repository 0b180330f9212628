"""The DSAP store: what is written is read, at any size, by h5py alone too, and in worker processes."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_data.stores.dsap import DsapStore
from small_stores import make_dsap, tensors


@settings(max_examples=20, deadline=None)
@given(size=st.integers(2, 40))
def test_what_is_written_is_read_at_any_size(tmp_path_factory: pytest.TempPathFactory, size: int) -> None:
    store = DsapStore(make_dsap(tmp_path_factory.mktemp("s") / "dsap.h5", size))
    assert store.size == size
    for index, (texels, valid) in enumerate(tensors(size)):
        read, read_valid = store.read(index)
        assert (read == texels).all()
        assert (read_valid == valid).all()
        assert store.counts[index].tolist() == valid.sum(axis=(1, 2)).tolist()
    many, many_valid = store.read_many([2, 0])
    assert (many[1] == store.read(0)[0]).all()
    assert (many_valid[0] == store.read(2)[1]).all()


def test_plain_h5py_reads_the_same(tmp_path: Path) -> None:
    store = DsapStore(make_dsap(tmp_path / "dsap.h5"))
    texels, valid = store.read(1)
    assert (store.file["texels"][1] == texels).all()
    assert (np.unpackbits(store.file["valid"][1]).reshape(24, 8, 8) == valid).all()


def test_reads_in_forked_and_pickled_copies(tmp_path: Path) -> None:
    store = DsapStore(make_dsap(tmp_path / "dsap.h5"))
    expected = store.read(1)[0].sum()
    assert pickle.loads(pickle.dumps(store)).read(1)[0].sum() == expected
    with ProcessPoolExecutor(2) as pool:
        assert list(pool.map(_sum_of, [store] * 4, [1] * 4)) == [expected] * 4


def _sum_of(store: DsapStore, index: int) -> int:
    return store.read(index)[0].sum()
