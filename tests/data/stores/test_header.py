"""What all stores have in common: the same content gives the same bytes, and damage is always reported."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import small_stores
from dsa_app.errors import StoreError
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore
from small_stores import make_dsap, make_iuv


@pytest.mark.parametrize("make", [make_iuv, make_dsap])
def test_same_content_same_bytes(tmp_path: Path, make) -> None:
    first = make(tmp_path / "one.h5").read_bytes()
    time.sleep(1.1)  # a stored time, in seconds, would differ
    assert make(tmp_path / "two.h5").read_bytes() == first


@pytest.mark.parametrize("kind", ["iuv", "dsap"])
def test_a_file_cut_short_anywhere_is_reported(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.h5"
    whole = (make_iuv if kind == "iuv" else make_dsap)(path).read_bytes()
    for length in np.random.default_rng(1).integers(0, len(whole), 200):
        path.write_bytes(whole[:length])
        with pytest.raises(StoreError, match=r"store\.h5"):
            _read_all(path, kind)


@pytest.mark.parametrize("kind", ["iuv", "dsap"])
def test_a_changed_byte_is_reported_or_harmless(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "store.h5"
    whole = (make_iuv if kind == "iuv" else make_dsap)(path).read_bytes()
    truth = _read_all(path, kind)
    rng = np.random.default_rng(2)
    for position in rng.integers(0, len(whole), 300):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            read = _read_all(path, kind)
        except StoreError:
            continue
        assert len(read) == len(truth)
        assert all((a == b).all() for a, b in zip(read, truth, strict=True))


def _read_all(path: Path, kind: str) -> list[np.ndarray]:
    if kind == "iuv":
        iuv = IuvStore(path)
        return [iuv.read(index).iuv for index in range(len(iuv))]
    dsap = DsapStore(path)
    return [array for index in range(len(dsap)) for array in dsap.read(index)]


def test_another_format_or_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="is not a dsa-reid dsap store"):
        DsapStore(make_iuv(tmp_path / "iuv.h5"))
    with pytest.raises(StoreError, match=r"none\.h5 does not exist"):
        IuvStore(tmp_path / "none.h5")
    monkeypatch.setattr("dsa_data.stores.iuv.IuvStore.versions", (2,))
    with pytest.raises(StoreError, match="has version 1, this program reads 2"):
        IuvStore(tmp_path / "iuv.h5")


@pytest.mark.parametrize("limit", [600, 3000, 8000])
def test_a_full_disk_is_reported_and_does_not_crash(tmp_path: Path, limit: int) -> None:
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(small_stores.__file__).parent)!r})
from pathlib import Path
from small_stores import make_dsap
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


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"does not contain c/3\.jpg"):
        DsapStore(make_dsap(tmp_path / "dsap.h5")).index("c/3.jpg")
