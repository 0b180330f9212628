"""The heap of a store's attributes: damage there must be found before HDF5 reads it, for it would not end."""

import struct
import subprocess
import sys
from pathlib import Path

import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.heap import HEADER, START, check_heap
from dsa_data.stores.iuv import IuvStore
from small_stores import make_iuv

READ = "import sys, h5py\nwith h5py.File(sys.argv[1]) as file:\n    dict(file.attrs)\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make_iuv(tmp_path / "iuv.h5")


def objects(data: bytes) -> list[int]:
    """Return where the objects of the heap begin, its free space last."""
    start = data.index(START)
    places, place = [], start + HEADER
    while not places or struct.unpack_from("<H", data, places[-1])[0]:
        places.append(place)
        place += HEADER + -(-struct.unpack_from("<Q", data, place + 8)[0] // 8) * 8
    return places


@pytest.mark.parametrize("length", [0, 8, 1 << 40])
@pytest.mark.parametrize("which", [0, 1, -1])
def test_an_object_of_another_length_is_refused(path: Path, length: int, which: int) -> None:
    data = bytearray(path.read_bytes())
    place = objects(data)[which]
    struct.pack_into("<HHIQ", data, place, 0, 0, 0, length)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"iuv\.h5 is damaged or cut short \(its heap is damaged\)"):
        IuvStore(path)


@pytest.mark.slow
def test_hdf5_itself_would_not_end(path: Path) -> None:
    """If this fails, HDF5 was fixed, and `check_heap` may go."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<HHIQ", data, objects(data)[-1], 0, 0, 0, 0)
    path.write_bytes(data)
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", READ, str(path)], timeout=8)


def test_whole_stores_and_other_files_pass(path: Path, tmp_path: Path) -> None:
    check_heap(path)
    (tmp_path / "other").write_bytes(b"GCOL" * 9)
    check_heap(tmp_path / "other")
    (tmp_path / "other").write_bytes(START + b"\xff" * 3)
    with pytest.raises(ValueError, match="truncated"):
        check_heap(tmp_path / "other")
