"""The restricted reader: every pickle that NumPy writes, and none that would run anything."""

import builtins
import functools
import operator
import os
import pickle
import subprocess
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from densepose_extract.weights.pickled import read_arrays
from dsa_app.errors import CheckpointError

ARRAYS = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "half": np.array([1.5, -2], np.float16),
    "big endian": np.array([1.5, -2], ">f4"),
    "count": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float32),
}


def written(path: Path, content: object, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("container", [dict, OrderedDict])
def test_numpys_pickles_of_every_protocol_are_read(
    tmp_path: Path, protocol: int, container: Callable[[dict[str, Any]], Any]
) -> None:
    extra = {"__author__": "us", "iteration": np.int64(5), "notes": [1, (2.5, None, True)]}
    found = read_arrays(written(tmp_path / "a.pkl", {"model": container(ARRAYS), **extra}, protocol))
    assert list(found) == list(ARRAYS)
    for name, value in ARRAYS.items():
        assert np.array_equal(found[name], value)
        assert found[name].dtype == value.dtype


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_python_2s_pickles_in_latin1_are_read(tmp_path: Path, module: bytes) -> None:
    """What Python 2 writes: modules of old NumPy, and the array's bytes as a text string."""
    raw = np.array([1.5, -300.25], "<f4").tobytes()
    assert max(raw) > 127
    reconstruct = b"c" + module + b"\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01bt R".replace(b" ", b"")
    dtype = b"cnumpy\ndtype\n(U\x02f4K\x00K\x01tR(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01K\x02\x85" + dtype + b"\x89U" + bytes([len(raw)]) + raw + b"tb"
    content = b"\x80\x02}U\x05model}U\x01w" + reconstruct + state + b"ss."
    (tmp_path / "a.pkl").write_bytes(content)
    assert read_arrays(tmp_path / "a.pkl")["w"].tolist() == [1.5, -300.25]


class Calls:
    """Pickles as a call of `function`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = (function, args)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


HOSTILE = {
    "os.system": Calls(os.system, "touch owned"),
    "eval": Calls(builtins.eval, "open('owned', 'w')"),
    "exec": Calls(builtins.exec, "open('owned', 'w')"),
    "open": Calls(builtins.open, "owned", "w"),
    "import": Calls(builtins.__import__, "os"),
    "subprocess": Calls(subprocess.call, ["touch", "owned"]),
    "getattr chain": Calls(getattr, Calls(getattr, Calls(__import__, "os"), "path"), "os"),
    "attrgetter": Calls(operator.attrgetter, "system"),
    "partial": Calls(functools.partial, print, "owned"),
    "numpy.load": Calls(np.load, "owned.npy"),
    "numpy.save": Calls(np.save, "owned", np.zeros(1)),
    "numpy.memmap": Calls(np.memmap, "owned", "u1", "w+", 0, (4,)),
    "numpy.fromfile": Calls(np.fromfile, "/etc/hostname"),
    "numpy.frompyfunc": Calls(np.frompyfunc, len, 1, 1),
    "numpy.ndarray": Calls(np.ndarray, (1 << 40,)),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pickles_are_refused_and_do_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, protocol: int
) -> None:
    path = written(tmp_path / "evil.pkl", {"model": {"w": HOSTILE[name]}}, protocol)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"evil.pkl is refused as a checkpoint, and no code in it was run"):
        read_arrays(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["evil.pkl"]


def test_the_ordinary_reader_would_have_been_owned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(HOSTILE["open"]))
    assert (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("opcodes", "reason"),
    [
        (b"cos\nsystem\n(S'touch owned'\ntR.", "os.system"),
        (b"(S'touch owned'\nios\nsystem\n.", "os.system"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
        (b"\x80\x04\x8c\x05numpy\x8c\x0endarray.tofile\x93.", "numpy.ndarray.tofile"),
        (b"cnumpy.core.multiarray\n_reconstruct\n}S'a'\nI1\nsb.", "tries to change a function"),
        (b"cnumpy\ndtype\nN}S'__call__'\nI1\ns\x86b.", "tries to change a function"),
        (b"cnumpy\nndarray\n)R.", "calls numpy.ndarray"),
        (b"cnumpy\ndtype\n(S'O'\ntR.", "is not of plain numbers"),
        (b"cnumpy\ndtype\n(S'f4,O'\ntR.", "is not of plain numbers"),
        (b"c_codecs\nencode\n(Va\nS'rot13'\ntR.", "encoding 'rot13'"),
        (b"Pid\n.", "persistent"),
        (b"\x82\x01.", "unregistered extension"),
    ],
)
def test_opcodes_by_hand_are_refused(tmp_path: Path, opcodes: bytes, reason: str) -> None:
    (tmp_path / "evil.pkl").write_bytes(opcodes)
    with pytest.raises(CheckpointError, match=reason):
        read_arrays(tmp_path / "evil.pkl")


def test_an_array_must_have_the_bytes_of_its_shape(tmp_path: Path) -> None:
    content = pickle.dumps({"model": {"w": np.zeros((2, 3), np.float32)}}, 2)
    shape = b"K\x02K\x03\x86"
    assert content.count(shape) == 1
    (tmp_path / "a.pkl").write_bytes(content.replace(shape, b"K\x02K\xff\x86"))
    with pytest.raises(CheckpointError, match=r"shape \(2, 255\) has 24 bytes"):
        read_arrays(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "expected a pickled {'model'"),
        ({"weights": {}}, "expected a pickled {'model'"),
        ({"model": {"w": [1.0]}}, "entry 'w' is list, expected an array"),
        ({"model": {3: np.zeros(1)}}, "entry '3'"),
        ({"model": {"w": np.array(["a"], object)}}, "is not of plain numbers"),
        ({"model": {"w": np.array([1j])}}, "is not of plain numbers"),
    ],
)
def test_other_contents_are_named(tmp_path: Path, content: object, reason: str) -> None:
    with pytest.raises(CheckpointError, match=reason):
        read_arrays(written(tmp_path / "a.pkl", content))


def test_truncated_and_foreign_files_are_named(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.pkl", {"model": ARRAYS}).read_bytes()
    for cut in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.pkl").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError, match=r"a.pkl is refused as a checkpoint"):
            read_arrays(tmp_path / "a.pkl")
    (tmp_path / "a.pkl").write_bytes(b"<html>404</html>")
    with pytest.raises(CheckpointError, match=r"a.pkl is refused as a checkpoint"):
        read_arrays(tmp_path / "a.pkl")
    with pytest.raises(CheckpointError, match="does not exist"):
        read_arrays(tmp_path / "b.pkl")
