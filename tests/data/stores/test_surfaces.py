"""The store of fused surfaces: what is written is read, damage is named, the same content gives the same bytes."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.header import Header
from dsa_data.stores.surfaces import Surface, SurfaceStore, write_surfaces

HEADER = Header("tiny", {"fuse": {"size": 4}}, "ab" * 32)
KEYS = ["0001", "0002/c3"]


def surfaces() -> list[Surface]:
    rng = np.random.default_rng(0)
    shape = (24, 4, 4)
    return [
        Surface(
            rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
            rng.integers(0, 256, shape, dtype=np.uint8),
            rng.integers(0, 65536, shape, dtype=np.uint16),
        )
        for _ in KEYS
    ]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = write_surfaces(tmp_path / "a.h5", HEADER, KEYS, 4, surfaces())
    with SurfaceStore(path) as store:
        assert (store.keys, store.size, store.header) == (KEYS, 4, HEADER)
        for n, want in enumerate(surfaces()):
            found = store.read(n)
            for name in ("mean", "spread", "count"):
                assert (getattr(found, name) == getattr(want, name)).all()
    assert write_surfaces(tmp_path / "b.h5", HEADER, KEYS, 4, surfaces()).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("name", ["mean", "spread", "count"])
def test_a_damaged_surface_is_named(tmp_path: Path, name: str) -> None:
    path = write_surfaces(tmp_path / "a.h5", HEADER, KEYS, 4, surfaces())
    with h5py.File(path, "r+") as file:
        file[name][1, 3, 2, 1] += 1
    with SurfaceStore(path) as store:
        store.read(0)
        with pytest.raises(StoreError, match=r"the surface of 0002/c3 is damaged\. Make it again: dsap fuse"):
            store.read(1)


def test_another_shape_is_refused(tmp_path: Path) -> None:
    path = write_surfaces(tmp_path / "a.h5", HEADER, KEYS, 4, surfaces())
    with h5py.File(path, "r+") as file:
        file.attrs["size"] = 5
    with pytest.raises(StoreError, match="damaged or cut short"):
        SurfaceStore(path)
