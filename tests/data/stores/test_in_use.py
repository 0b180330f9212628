"""A store that another program has open for writing, or whose writer was killed, is not damaged: it is left alone."""

import fcntl
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest

from dsa_app.errors import BusyError, StoreError
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.features import FeatureStore, write_features
from dsa_data.stores.header import Header, Store
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.reuse import open_reusable
from small_stores import make_dsap, make_iuv

ORIGIN = {"model": "0f" * 32, "preprocessing": {}, "parts": {"global": 4}}


def make_features(path: Path) -> Path:
    header = Header("tiny", {"origin": ORIGIN}, "ab" * 32)
    return write_features(path, header, ["a.jpg"], ["0f" * 32], (1, 4), "float32", [np.ones((1, 4), np.float32)])


STORES = [(make_iuv, IuvStore), (make_dsap, DsapStore), (make_features, FeatureStore)]
HOLD = "import h5py, sys; file = h5py.File(*sys.argv[1:]); print('open', flush=True); sys.stdin.read()"


@contextmanager
def process_with(path: Path, mode: str, kill: bool = False) -> Iterator[None]:
    """Open a file in another process, which is killed before the body runs, or ends after it."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, path, mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"open\n"
    if kill:
        process.send_signal(signal.SIGKILL)
        process.wait()
    yield
    process.communicate()


def repack(path: Path) -> None:
    """Rewrite an HDF5 file in the oldest format, as other programs may do."""
    other = path.with_suffix(".other")
    with h5py.File(path) as old, h5py.File(other, "w", libver="earliest") as new:
        new.attrs.update(old.attrs)
        for name in old:
            old.copy(name, new)
    os.replace(other, path)


@pytest.mark.parametrize(("make", "opener"), STORES)
@pytest.mark.parametrize(
    ("kill", "oldest", "reason"),
    [
        (False, False, "is open for writing in another program"),
        (True, False, "was open for writing in a program that was killed.*h5clear -s"),
        (False, True, "is open for writing in another program"),
        (True, True, None),  # the oldest format has no mark; HDF5 wrote nothing, and the store is whole
    ],
)
def test_a_store_in_use_is_left_alone(
    tmp_path: Path, make: Callable[[Path], Path], opener: type[Store], kill: bool, oldest: bool, reason: str | None
) -> None:
    path = make(tmp_path / "store.h5")
    if oldest:
        repack(path)
    with opener(path) as store:
        header = store.header
    with process_with(path, "r+", kill):
        before = path.read_bytes()
        if reason is None:
            assert open_reusable(path, opener, header, "") is not None
        else:
            for overwrite in (False, True):
                with pytest.raises(BusyError, match=rf"store\.h5 {reason}"):
                    open_reusable(path, opener, header, "", overwrite)
        assert path.read_bytes() == before
    if not kill:
        opener(path).close()


@pytest.mark.parametrize(("make", "opener"), STORES)
def test_a_store_that_others_read_can_be_read(
    tmp_path: Path, make: Callable[[Path], Path], opener: type[Store]
) -> None:
    path = make(tmp_path / "store.h5")
    with process_with(path, "r"), opener(path) as store:
        assert len(store)


def test_a_writer_of_ours_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    path = make_iuv(tmp_path / "iuv.h5")
    with path.open("rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        release = threading.Timer(0.1, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        IuvStore(path).close()
        release.join()


def test_a_store_that_this_process_has_open_is_not_damaged(tmp_path: Path) -> None:
    path = make_iuv(tmp_path / "iuv.h5")
    with h5py.File(path, "r", locking=True), pytest.raises(BusyError, match=r"iuv\.h5 is open in another way"):
        IuvStore(path)


@pytest.mark.parametrize("fault", [b"", b"\x89HDF\r\n\x1a\n\x03", b"\x89HDF\r\n\x1a\n\x03\x08\x08\x00" + bytes(80)])
def test_damage_is_still_damage(tmp_path: Path, fault: bytes) -> None:
    path = tmp_path / "iuv.h5"
    path.write_bytes(fault)
    with pytest.raises(StoreError, match=r"iuv\.h5 is damaged or cut short"):
        IuvStore(path)


def test_the_systems_errors_are_not_damage(tmp_path: Path) -> None:
    path = make_iuv(tmp_path / "iuv.h5")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            IuvStore(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.filename == str(path)


@pytest.mark.parametrize("overwrite", [False, True])
def test_another_kind_of_store_is_never_replaced(tmp_path: Path, overwrite: bool) -> None:
    path = make_dsap(tmp_path / "iuv.h5")
    with pytest.raises(StoreError, match="is not a dsa-reid iuv store: it is a dsa-reid dsap store"):
        open_reusable(path, IuvStore, Header("tiny", {}, ""), "", overwrite)
