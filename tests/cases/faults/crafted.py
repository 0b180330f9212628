"""Files that were once a fault, built by hand: sizes that are not true, values that libraries stumble over, bombs.

Each is a reader's name, what is wrong, the file's name and its bytes; the reader must refuse it.
"""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import cv2
import h5py
import hdf5plugin
import numpy as np
import zstandard
from scipy.io import savemat

from .readers import Reader

Crafted = tuple[str, str, str, bytes]
LONG_BINPUT = b"\x80\x02r\xff\xff\xff\x7f."  # 9 bytes with their end that claim a table of two billion objects
ALIASES = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 8)}]\n" for n in range(9)
)
VALUES = {
    "a date that does not exist": "2001-13-45",
    "a tag": "!!bool maybe",
    "a Python tag": "!!python/object/apply:os.system [echo]",
    "5,000 digits": "9" * 5000,
    "1,500 brackets": "[" * 1500,
    "1,500 closed brackets": "[" * 1500 + "]" * 1500,
    "sexagesimal": "1:" * 500 + "0",
    "an alias": "*x",
    "a merge": "{<<: 3}",
    "a NUL": "a\0b",
    "half a surrogate": '"\\ud800"',
    "a million characters": "x" * 1_000_000,
}


def crafted(readers: Mapping[str, Reader]) -> Iterator[Crafted]:
    """Yield all of them.

    Args:
        readers: by name, with whole files.
    """
    yield from _images()
    yield from _tables(readers)
    yield from _settings()
    yield from _stores(readers)
    yield from _pickles(readers)
    yield from _matlab(readers)
    yield from _indexes(readers)


def _images() -> Iterator[Crafted]:
    picture = np.zeros((16, 16, 3), np.uint8)
    jpeg, png = (bytes(cv2.imencode(suffix, picture)[1]) for suffix in (".jpg", ".png"))
    start = jpeg.index(b"\xff\xc0") + 5
    header = struct.pack(">II", 30000, 30000) + png[24:29]
    rows = zlib.compress(b"\0" * (1 + 3 * 3000) * 30000, 9)
    files = {
        "JPEG": {
            "30000 x 30000": jpeg[:start] + struct.pack(">HH", 30000, 30000) + jpeg[start + 4 :],
            "7900 x 7900": jpeg[:start] + struct.pack(">HH", 7900, 7900) + jpeg[start + 4 :],
            "the end mark after half the data": jpeg[: -(len(jpeg) - start) // 4] + b"\xff\xd9",
            "an AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + bytes(400),
            "a HEIC": b"\0\0\0\x1cftypheic\0\0\0\0heicmif1miaf" + bytes(400),
            "a GIF": b"GIF89a\x10\0\x10\0\x80\0\0" + bytes(40),
        },
        "PNG": {
            "30000 x 30000": png[:8] + _chunk(b"IHDR", header) + png[33:],
            "30000 x 30000 with pixels": png[:8] + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + png[-12:],
        },
    }
    for kind, cases in files.items():
        for what, data in cases.items():
            for package in ("dsa_data", "dsa_reid"):
                yield f"{kind} by {package}", what, "a.bin", data


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


KEYS = ("../../x.jpg", "/etc/passwd", "a/../../x.jpg", "..", "a\0b.jpg", "x" * 5000)


def _tables(readers: Mapping[str, Reader]) -> Iterator[Crafted]:
    manifest = readers["manifest.csv"].seeds["manifest.csv"].decode()
    head, first, *_ = manifest.splitlines()
    rest = first.partition(",")[2]
    for key in KEYS:
        yield "manifest.csv", f"the key {key[:20]!r}", "manifest.csv", f"{head}\n{key},{rest}\n".encode()
        yield (
            "dataset.csv",
            f"the path {key[:20]!r}",
            "dataset.csv",
            f"path,pid,camid,split\n{key},1,1,train\n".encode(),
        )
        line = f"{key}/0000_000_01_x.jpg 0\n" if key == ".." else f"{key[:-4]}/../0000_000_01_x.jpg 0\n"
        yield "MSMT17 lists", f"the path {key[:20]!r}", "list_train.txt", line.encode()
    long = "x" * 1_000_000
    for column in range(7):
        fields = first.split(",")
        fields[column] = long
        yield "manifest.csv", f"a million characters in column {column}", "manifest.csv", _csv(head, fields)
    for column in range(4):
        fields = ["a/1.jpg", "1", "1", "train"]
        for what, value in (("a million characters", long), ("a NUL", "a\0b"), ("5,000 digits", "9" * 5000)):
            if column or what != "5,000 digits":  # which a name may have
                fields[column] = value
                yield "dataset.csv", f"{what} in column {column}", "dataset.csv", _csv("path,pid,camid,split", fields)
    yield "dataset.csv", "a column of a million characters", "dataset.csv", f"path,pid,camid,{long}\n".encode()
    yield "dataset.csv", "nothing", "dataset.csv", b""
    yield "manifest.csv", "nothing", "manifest.csv", b""


def _csv(head: str, fields: list[str]) -> bytes:
    return f"{head}\n{','.join(fields)}\n".encode()


def _settings() -> Iterator[Crafted]:
    for what, value in VALUES.items():
        yield "--set", what, "0.txt", f"synth.seed={value}".encode()
        yield "params.yaml", what, "params.yaml", f"synth:\n  seed: {value}\n".encode()
        yield "experiment", what, "experiments/own.yaml", f"train:\n  seed: {value}\n".encode()
    yield "params.yaml", "an experiment of 5,000 letters", "params.yaml", f"experiment: {'x' * 5000}\n".encode()
    yield "params.yaml", "an experiment of half a surrogate", "params.yaml", b'experiment: "\\ud800"\n'
    yield "params.yaml", "aliases", "params.yaml", f"{ALIASES}train: *j\n".encode()
    yield "params.yaml", "aliases in a value", "params.yaml", b"x: &a [1]\ntrain:\n  seed: *a\n"
    yield "params.yaml", "a key of a million characters", "params.yaml", f"train:\n  {'x' * 1_000_000}: 1\n".encode()


def _changed(data: bytes, change: Callable[[h5py.File], None]) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        Path(file.name).write_bytes(data)
        with h5py.File(file.name, "r+", libver="latest") as store:
            change(store)
        return Path(file.name).read_bytes()


def _replaced(name: str, shape: tuple[int, ...], dtype: str, **options: object) -> Callable[[h5py.File], None]:
    def change(store: h5py.File) -> None:
        del store[name]
        store.create_dataset(name, shape, dtype, **options)

    return change


def _stores(readers: Mapping[str, Reader]) -> Iterator[Crafted]:
    for name in ("iuv.h5", "dsap.h5", "features.h5"):
        data = readers[name].seeds[name]
        yield name, "a billion keys that are not there", name, _changed(data, _replaced("key", (10**9,), "S100"))
        yield (
            name,
            "keys in compressed chunks",
            name,
            _changed(data, _replaced("key", (10**8,), "S100", chunks=(10**6,), compression="gzip")),
        )
        for key in KEYS[:4]:
            yield name, f"the key {key!r}", name, _changed(data, _with_key(key.encode()))
        yield name, "an attribute of another type", name, _changed(data, _attribute("configuration", 5))
        yield name, "a configuration of many brackets", name, _changed(data, _attribute("configuration", "[" * 60000))
    iuv, dsap = readers["iuv.h5"].seeds["iuv.h5"], readers["dsap.h5"].seeds["dsap.h5"]
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(1 << 30))
    yield "iuv.h5", "a chunk that inflates to a gigabyte", "iuv.h5", _changed(iuv, _with_chunk("iuv", (0, 0), bomb))
    yield (
        "dsap.h5",
        "a chunk that inflates to a gigabyte",
        "dsap.h5",
        _changed(dsap, _with_chunk("texels", (0, 0, 0, 0, 0), bomb)),
    )
    sure, with_confidence = readers["iuv.h5"].seeds["pixels.h5"], readers["dsap.h5"].seeds["confidence.h5"]
    inflating = "a chunk of confidences that inflates to a gigabyte"
    yield "iuv.h5", inflating, "iuv.h5", _changed(sure, _with_chunk("confidence", (0, 0), bomb))
    yield "dsap.h5", inflating, "dsap.h5", _changed(with_confidence, _with_chunk("confidence", (0, 0, 0, 0), bomb))
    yield "iuv.h5", "bits of another kind", "iuv.h5", _changed(sure, _attribute("bits", "x" * 60000))
    yield "iuv.h5", "a confidence of another kind", "iuv.h5", _changed(sure, _attribute("confidence", 2**40))
    yield "iuv.h5", "a map of 30000 x 30000", "iuv.h5", _changed(iuv, _one_map(30000))
    yield "dsap.h5", "a chart image of 30000 x 30000", "dsap.h5", _changed(dsap, _large_charts)
    yield "dsap.h5", "part images of 4096 x 4096", "dsap.h5", _changed(dsap, _texels(4096))
    npy = readers["features.npy"].seeds["features.npy"]
    for what, header in {
        "10^15 rows": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000000, 4), }",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }",
        "brackets": "(" * 200,
        "a call": "__import__('os').abort()",
    }.items():
        content = header.encode().ljust(118) + b"\n"
        made = npy[:8] + struct.pack("<H", len(content)) + content + bytes(64)
        yield "features.npy", what, "features.npy", made


def _with_key(key: bytes) -> Callable[[h5py.File], None]:
    def change(store: h5py.File) -> None:
        keys = [key, *store["key"][1:].tolist()]
        del store["key"]
        store["key"] = np.array(keys, dtype=bytes)

    return change


def _attribute(name: str, value: object) -> Callable[[h5py.File], None]:
    def change(store: h5py.File) -> None:
        del store.attrs[name]
        store.attrs[name] = value

    return change


def _with_chunk(name: str, place: tuple[int, ...], frame: bytes) -> Callable[[h5py.File], None]:
    return lambda store: store[name].id.write_direct_chunk(place, frame)


def _one_map(side: int) -> Callable[[h5py.File], None]:
    """All maps have the size that they had, but the last, which has side x side pixels that are not there."""

    def change(store: h5py.File) -> None:
        store["shape"][-1] = (side, side)
        store["offset"][-1] = store["offset"][-2] + side * side
        chunks = (store["iuv"].chunks[0], 3)
        _replaced("iuv", (int(store["offset"][-1]), 3), "u1", chunks=chunks, **hdf5plugin.Zstd())(store)

    return change


def _texels(side: int) -> Callable[[h5py.File], None]:
    def change(store: h5py.File) -> None:
        count, bits = len(store["key"]), 24 * side * side // 8
        shape = (24, side, side, 3)
        _replaced("texels", (count, *shape), "u1", chunks=(1, *shape), **hdf5plugin.Zstd())(store)
        _replaced("valid", (count, bits), "u1", chunks=(1, bits), **hdf5plugin.Zstd())(store)
        for name, size in (("texels", 24 * side * side * 3), ("valid", bits)):
            frame = zstandard.ZstdCompressor(level=3).compress(bytes(size))
            for n in range(count):
                store[name].id.write_direct_chunk((n,) + (0,) * (store[name].ndim - 1), frame)

    return change


def _large_charts(store: h5py.File) -> None:
    frame = np.frombuffer(zstandard.ZstdCompressor(level=3).compress(bytes(30000 * 30000)), np.uint8)
    store["chart_shape"][-1] = (30000, 30000)
    charts = np.concatenate([store["charts"][: store["chart_offset"][-2]], frame])
    store["chart_offset"][-1] = len(charts)
    del store["charts"]
    store["charts"] = charts


def _pickles(readers: Mapping[str, Reader]) -> Iterator[Crafted]:
    yield "DensePose checkpoint", "9 bytes that claim gigabytes", "two.pkl", LONG_BINPUT
    yield "DensePose checkpoint", "nothing", "two.pkl", b""
    yield "pickled dump of apply_net.py", "9 bytes that claim gigabytes", "2.pkl", LONG_BINPUT
    yield "pickled dump of apply_net.py", "nothing", "2.pkl", b""
    dump = readers["dump of apply_net.py"].seeds["torch.save.pkl"]
    for what, data in (
        ("9 bytes that claim gigabytes", _with_pickle(dump, LONG_BINPUT)),
        ("a gigabyte of zeros, compressed", compressed(dump)),
        ("a number", _with_pickle(dump, b"\x80\x02K\x05.")),
        ("nothing", b""),
    ):
        yield "dump of apply_net.py", what, "torch.save.pkl", data
    for name, reader in readers.items():
        if not name.startswith(("model.pt", "checkpoint.pt", "weights from")) or name == "model.pt2":
            continue
        (file,) = reader.seeds
        yield name, "9 bytes that claim gigabytes", file, _with_pickle(reader.seeds[file], LONG_BINPUT)
        yield name, "a gigabyte of zeros, compressed", file, compressed(reader.seeds[file])
        yield name, "a list", file, _with_pickle(reader.seeds[file], b"\x80\x02]q\0.")
        yield name, "a number", file, _with_pickle(reader.seeds[file], b"\x80\x02K\x05.")
        yield name, "nothing", file, b""


def _with_pickle(data: bytes, pickled: bytes) -> bytes:
    """Return an archive of torch.save with another pickle in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(made, "w") as changed:
        for entry in archive.infolist():
            changed.writestr(entry.filename, pickled if entry.filename.endswith("data.pkl") else archive.read(entry))
    return made.getvalue()


def _matlab(readers: Mapping[str, Reader]) -> Iterator[Crafted]:
    (lists,) = readers["CUHK03 list"].seeds
    empty, huge, cells = io.BytesIO(), io.BytesIO(), io.BytesIO()
    names = ("filelist", "labels", "camId", "train_idx", "query_idx", "gallery_idx")
    savemat(empty, {name: np.zeros((0, 0), object if name == "filelist" else float) for name in names})
    savemat(huge, {name: np.zeros((1 << 14, 1 << 14), np.uint8) for name in names[:1]}, do_compression=True)
    made = np.empty((1, 24), object)
    made[:] = 0.5
    savemat(cells, {"U_transforms": made, "V_transforms": made})
    for name, file in (("CUHK03 list", lists), ("symmetry table", "UV_symmetry_transforms.mat")):
        yield name, "nothing", file, b""
        yield name, "an empty list", file, empty.getvalue()
        yield name, "a quarter of a gigabyte of zeros", file, huge.getvalue()
        yield name, "cells of another size", file, cells.getvalue()
        whole = readers[name].seeds[file]
        yield name, "only the header", file, whole[:128]
        yield name, "a size that is not true", file, whole[:132] + struct.pack("<I", 0x7FFFFFF0) + whole[136:]


def _indexes(readers: Mapping[str, Reader]) -> Iterator[Crafted]:
    reader = readers["FAISS with a forged note"]
    for file, data in reader.seeds.items():
        yield reader.name, f"10^15 rows in {file}", file, data[:8] + (10**15).to_bytes(8, "little") + data[16:]
        yield reader.name, f"2^31 dimensions in {file}", file, data[:4] + (2**31 - 1).to_bytes(4, "little") + data[8:]
        yield reader.name, f"half of {file}", file, data[: len(data) // 2]
    flat, ivf, hnsw = reader.seeds
    yield reader.name, "another kind", hnsw, reader.seeds[flat]
    yield reader.name, "another kind", flat, reader.seeds[ivf]
    note = readers["FAISS t.faiss.json"]
    (file,) = note.seeds
    yield note.name, "brackets", file, b"[" * 60000
    yield note.name, "another note", file, json.dumps({"format": "x" * 100000}).encode()


def compressed(data: bytes) -> bytes:
    """Return an archive of torch.save whose numbers are a gigabyte of zeros, compressed."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as changed:
        for entry in archive.infolist():
            numbers = entry.filename.endswith("data/0")
            changed.writestr(entry.filename, bytes(1 << 30) if numbers else archive.read(entry))
    return made.getvalue()
