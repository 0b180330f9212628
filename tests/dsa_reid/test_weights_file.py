"""Model files of every kind of damage, and of malice, end in one line that names them; no code in them is run."""

import struct
import subprocess
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing
from dsa_reid.weights_file import read_weights


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files in a model file."""
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(trunk="resnet18", width=0.125, heads="global"))
    path = dsa_reid.save(stream, tmp_path_factory.mktemp("model") / "model.pt", Preprocessing(32, 16))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pickled(files: dict[str, bytes], change: Callable[[bytes], bytes]) -> dict[str, bytes]:
    """Return the files with the pickle changed."""
    return {name: change(data) if name.endswith("data.pkl") else data for name, data in files.items()}


def resaved(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Write a model file with its content changed, as torch writes it."""
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)
    return path


def test_read_as_torch_reads_it(tmp_path: Path) -> None:
    """Also views, shared numbers, empty ones, and those that torch has no dimension for."""
    base = torch.arange(24, dtype=torch.float32)
    content = {
        "views": [base, base[3:9], base.view(4, 6).T, base[::2]],
        "types": [
            torch.ones(2, dtype=dtype) for dtype in (torch.float64, torch.float16, torch.int64, torch.uint8, torch.bool)
        ],
        "odd": [torch.tensor(5.0), torch.empty(0, 3), torch.nn.Parameter(torch.ones(2)).detach()],
        "plain": [1, -1, 2**40, 1.5, "text", "é", None, True, (1, 2), {"a": {"b": ()}}],
    }
    torch.save(content, tmp_path / "x.pt")
    found, expected = read_weights(tmp_path / "x.pt"), torch.load(tmp_path / "x.pt", weights_only=True)
    assert found.keys() == expected.keys()
    assert found["plain"] == expected["plain"]
    for name in ("views", "types", "odd"):
        for ours, theirs in zip(found[name], expected[name], strict=True):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)


def entry_larger(files: dict[str, bytes], path: Path) -> Path:
    """A directory of the archive that says that an entry has 3 GiB."""
    data = bytearray(write(path, files).read_bytes())
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<II", data, at + 20, 3 << 30, 3 << 30)
    path.write_bytes(data)
    return path


def twice(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(write(path, files), "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(next(iter(files)), b"")
    return path


def longer_storage(files: dict[str, bytes], path: Path) -> Path:
    """Numbers that are stated and not there: torch would read what lies behind them in memory."""
    name = max((name for name in files if "/data/" in name), key=lambda name: len(files[name]))
    return write(path, files | {name: files[name][:-4]})


def without(part: str) -> Callable[[dict[str, bytes], Path], Path]:
    return lambda files, path: write(path, {name: data for name, data in files.items() if not name.endswith(part)})


def with_pickle(content: bytes) -> Callable[[dict[str, bytes], Path], Path]:
    return lambda files, path: write(path, pickled(files, lambda _: content))


def call(module: str, name: str, argument: bytes) -> bytes:
    """A pickle that calls a function."""
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + argument + b"\x85R."


DAMAGED: dict[str, Callable[[dict[str, bytes], Path], Path]] = {
    "an entry of 3 GiB": entry_larger,
    "two entries of one name": twice,
    "compressed": lambda files, path: write(path, files, zipfile.ZIP_DEFLATED),
    "no pickle": without("data.pkl"),
    "no numbers": without("data/0"),
    "numbers cut short": longer_storage,
    "another byte order": lambda files, path: write(
        path, {name: b"big" if name.endswith("byteorder") else data for name, data in files.items()}
    ),
    "an empty pickle": with_pickle(b""),
    "only a stop": with_pickle(b"."),
    "a text": with_pickle(b"I am no pickle"),
    "cut in a number": with_pickle(b"\x80\x02J\x01"),
    "a place that is not there": with_pickle(b"\x80\x02h\x05."),
    "2 billion places": with_pickle(b"\x80\x02Nr\xff\xff\xff\x7f."),
    "a text of 2 GiB": with_pickle(b"\x80\x02X\xff\xff\xff\x7fabc."),
    "a storage of nothing": with_pickle(b"\x80\x02NQ."),
    "a text as long as memory": with_pickle(b"\x80\x05\x8d\xff\xff\xff\xff\xff\x00\0\0."),
    "bytes to fill": with_pickle(b"\x80\x05\x96\0\0\0\0\x08\0\0\0."),
    "2,000 lists in lists": with_pickle(b"\x80\x02" + b"]" * 2000 + b"a" * 1999 + b"."),
}
REFUSED: dict[str, Callable[[dict[str, bytes], Path], Path]] = {
    "os.system": with_pickle(call("os", "system", b"X\x04\0\0\0exit")),
    "a bytearray of 8 GB": with_pickle(call("__builtin__", "bytearray", b"\x8a\x05\0\0\0\0\x02")),
    "a tensor on another device": with_pickle(call("torch._utils", "_rebuild_device_tensor_from_numpy", b"N")),
    "a tensor without numbers": with_pickle(call("torch._utils", "_rebuild_meta_tensor_no_storage", b"N")),
    "NumPy": with_pickle(call("numpy.core.multiarray", "_reconstruct", b"N")),
    "an object that is built": with_pickle(b"\x80\x02}}b."),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told_in_a_line(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    path = DAMAGED[name](files, tmp_path / "model.pt")
    with pytest.raises(
        ModelError, match=r"model\.pt (is truncated, damaged or not a model: .*Copy it again|is not a model)"
    ) as e:
        dsa_reid.load(path)
    assert "\n" not in str(e.value)
    assert len(str(e.value)) < 500


@pytest.mark.parametrize("name", REFUSED)
def test_more_than_weights_is_refused(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    path = REFUSED[name](files, tmp_path / "model.pt")
    with pytest.raises(
        ModelError, match=r"model\.pt is not a model of dsa-reid: it holds more than weights .*no code in it was"
    ):
        dsa_reid.load(path)


def test_lies_take_no_memory(files: dict[str, bytes], tmp_path: Path) -> None:
    """All of them in a process that may have 3 GB."""
    paths = [
        cases[name](files, tmp_path / f"{n}{m}.pt")
        for n, cases in enumerate((DAMAGED, REFUSED))
        for m, name in enumerate(cases)
    ]
    script = (
        "import sys, resource, dsa_reid\n"
        "dsa_reid.load\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        dsa_reid.load(path)\n"
        "    except dsa_reid.ModelError:\n        continue\n"
        "    sys.exit(path)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 200  # MiB


def setting(*keys: str, value: object) -> Callable[[dict[str, Any]], object]:
    """Return a change of one value within a model's content."""

    def change(content: dict[str, Any]) -> None:
        inner = content
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


def in_state(change: Callable[[torch.Tensor], object]) -> Callable[[dict[str, Any]], object]:
    def changed(content: dict[str, Any]) -> None:
        content["state"]["trunk.conv1.weight"] = change(content["state"]["trunk.conv1.weight"])

    return changed


WRONG: dict[str, Callable[[dict[str, Any]], object]] = {
    "height 0": setting("preprocessing", "height", value=0),
    "a height of 2^40": setting("preprocessing", "height", value=2**40),
    "a height in words": setting("preprocessing", "height", value="32"),
    "mean of two": setting("preprocessing", "mean", value=(0.5, 0.5)),
    "std of 0": setting("preprocessing", "std", value=(0.5, 0.5, 0.0)),
    "std NaN": setting("preprocessing", "std", value=(0.5, 0.5, float("nan"))),
    "no preprocessing": lambda content: content.pop("preprocessing"),
    "preprocessing is a list": setting("preprocessing", value=[1]),
    "no config": lambda content: content.pop("config"),
    "width in words": setting("config", "width", value="much"),
    "width infinite": setting("config", "width", value=float("inf")),
    "width NaN": setting("config", "width", value=float("nan")),
    "width huge": setting("config", "width", value=1e12),
    "trunk is a number": setting("config", "trunk", value=5),
    "size huge": setting("config", "size", value=(2**40, 2**40)),
    "size of one": setting("config", "size", value=(32,)),
    "no state": lambda content: content.pop("state"),
    "state is a text": setting("state", value="weights"),
    "a weight is a text": in_state(str),
    "a weight is None": in_state(lambda _: None),
    "half precision": in_state(torch.Tensor.half),
    "double precision": in_state(torch.Tensor.double),
    "another shape": in_state(lambda weight: weight[:, :1]),
    "a weight more": lambda content: content["state"].update(more=torch.ones(1)),
    "a weight less": lambda content: content["state"].pop("trunk.conv1.weight"),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_schema_is_told_in_a_line(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    path = resaved(write(tmp_path / "model.pt", files), WRONG[name])
    with pytest.raises(
        ModelError, match=r"model\.pt has weights that do not fit its configuration \(.*\)\. Train again"
    ) as error:
        dsa_reid.load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("version", [2, "1", None, [1], "x" * 9999])
def test_another_version(version: object, files: dict[str, bytes], tmp_path: Path) -> None:
    path = resaved(write(tmp_path / "model.pt", files), setting("version", value=version))
    with pytest.raises(ModelError, match=r"has version .{0,60}, this dsa_reid reads version 1"):
        dsa_reid.load(path)


@pytest.mark.parametrize("content", [5, [1], {}, {"format": 1}, OrderedDict(), {"weight": torch.ones(2)}], ids=str)
def test_files_of_torch_that_are_no_models(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(ModelError, match="is not a model of dsa-reid"):
        dsa_reid.load(tmp_path / "x.pt")


def test_files_of_torch_before_1_6(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "x.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match="truncated, damaged or not a model: File is not a zip file"):
        dsa_reid.load(tmp_path / "x.pt")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 3),
)
def test_a_changed_pickle_is_read_or_refused(
    changes: list[tuple[int, int]], cut: int, files: dict[str, bytes], tmp_path: Path
) -> None:
    def change(data: bytes) -> bytes:
        changed = bytearray(data)
        for place, value in changes:
            changed[place % len(data)] = value
        return bytes(changed[: len(data) - cut * 100])

    try:
        model = dsa_reid.load(write(tmp_path / "model.pt", pickled(files, change)))
    except ModelError:
        return
    assert model.embed(np.zeros((4, 4, 3), np.uint8)).shape == (1, model.dimensions)
