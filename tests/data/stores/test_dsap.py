"""The DSAP store: what is written is read, at any size, by h5py alone too, and in worker processes."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import StoreError
from dsa_data.stores.dsap import DsapStore, chart_image, pack
from dsap_cases import real_maps
from small_stores import as_version_1, iuv_maps, make_dsap, tensors


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


def test_chart_images_are_read_at_their_own_size_also_by_plain_h5py(tmp_path: Path) -> None:
    store = DsapStore(make_dsap(tmp_path / "dsap.h5"))
    offset, frames = store.file["chart_offset"][:], store.file["charts"][:]
    for index, one in enumerate(iuv_maps()):
        charts = store.read_charts(index)
        assert charts.dtype == np.uint8
        assert (charts == chart_image(one.iuv)).all()
        pixels = zstandard.decompress(frames[offset[index] : offset[index + 1]].tobytes())
        assert pixels == charts.tobytes()
        assert store.file["chart_shape"][index].tolist() == list(charts.shape)


def test_a_map_without_a_body_has_no_charts_at_all() -> None:
    iuv = np.zeros((3, 2, 3), np.uint8)
    assert (chart_image(iuv) == 255).all()
    iuv[1, 1] = 7, 20, 30
    assert chart_image(iuv).tolist() == [[0, 0], [0, 7], [0, 0]]


def test_a_chart_image_of_a_photograph_takes_less_than_a_kilobyte(shared: Path) -> None:
    iuv = real_maps(shared)[0]
    rows, columns = (
        np.linspace(0, length - 1, wanted).astype(int) for length, wanted in zip(iuv.shape[:2], (128, 64), strict=True)
    )
    small = iuv[rows][:, columns]
    parts = np.zeros((24, 2, 2, 3), np.uint8)
    chunk = pack(parts, parts[..., 0] > 0, chart_image(small), "0f" * 32, "f0" * 32)
    assert chart_image(small).any()
    assert len(chunk.charts) < 1024


def test_a_store_of_version_1_is_read_but_for_charts(tmp_path: Path) -> None:
    path = make_dsap(tmp_path / "dsap.h5")
    expected = DsapStore(path).read(1)
    old = DsapStore(as_version_1(path))
    assert not old.has_charts
    assert (old.read(1)[0] == expected[0]).all()
    with pytest.raises(StoreError, match=r"has version 1, which has no chart images\. .*dsap build --overwrite"):
        old.read_charts(1)


def test_a_damaged_chart_image_is_refused(tmp_path: Path) -> None:
    path = make_dsap(tmp_path / "dsap.h5")
    with h5py.File(path, "r+") as file:
        file["chart_checksum"][2] = 1
    store = DsapStore(path)
    store.read_charts(1)
    with pytest.raises(StoreError, match=r"the charts of b/ä\.jpg are damaged"):
        store.read_charts(2)
