"""Damage to files, by their structure: each function returns the bytes of a damaged copy.

All take a generator like `random.Random`, so that a seed gives the same damage, and Hypothesis can shrink it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import h5py
import numpy as np

Mutator = Callable[[bytes, Random], bytes]
SMALL = (0, 1, 2, 0x7F, 0x80, 0xFF)
LARGE = (
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    30000,
    65535,
    1 << 20,
    1 << 31,
    1 << 40,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
TEXTS = (
    "",
    "x",
    "x" * 5000,
    "9" * 5000,
    "-1",
    "1e999",
    "nan",
    "../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "\ud7ff",
    "[" * 200,
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, math.nan, math.inf),
    *TEXTS,
    *([], {}, [[]], [None], {"": None}, [1, 2, 3], ["x"] * 50, {"format": 1}),
)


def damage(data: bytes, rng: Random) -> bytes:
    """Flip bits, cut, repeat, fill, insert, or overwrite a number, at one to four places."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        place = rng.randrange(len(made) + 1)
        kind = rng.randrange(8)
        if kind == 0 and made:
            made[min(place, len(made) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del made[place:]
        elif kind == 2:
            made[place:place] = made[place : place + rng.choice((1, 4, 64))]
        elif kind == 3:
            made[place : place + rng.choice((1, 4, 64))] = bytes(rng.choice((1, 4, 64)))
        elif kind == 4:
            made[place:place] = bytes(rng.randrange(256) for _ in range(rng.choice((1, 4, 16))))
        elif kind == 5:
            width = rng.choice((1, 2, 4, 8))
            value = rng.choice(SMALL if width == 1 else (*SMALL, *LARGE)) % (1 << 8 * width)
            made[place : place + width] = value.to_bytes(width, rng.choice(("little", "big")))
        elif kind == 6:
            del made[place : place + rng.choice((1, 4, 64))]
        else:  # swap two stretches
            other, length = rng.randrange(len(made) + 1), rng.choice((1, 8, 64))
            one, two = made[place : place + length], made[other : other + length]
            if len(one) == len(two) and abs(place - other) >= length:
                made[place : place + length], made[other : other + length] = two, one
    return bytes(made)


def start(data: bytes, rng: Random) -> bytes:
    """Damage the first 256 bytes alone, where headers are."""
    return damage(data[:256], rng) + data[256:]


def nothing(data: bytes, rng: Random) -> bytes:
    """Return no bytes, one byte, noise, or a file of another kind."""
    others = (
        b"",
        b"\0",
        b"{}",
        b"[]",
        b"\x89HDF\r\n\x1a\n",
        b"PK\x05\x06" + bytes(18),
        b"\x93NUMPY",
        b"\x80\x02.",
        b"MATLAB",
    )
    return rng.choice((*others, bytes(rng.randrange(256) for _ in range(64)), bytes(4096)))


def text(data: bytes, rng: Random) -> bytes:
    """Replace a word by a strange one, repeat a line, or remove one."""
    lines = data.decode("latin1").split("\n")
    place = rng.randrange(len(lines))
    kind = rng.randrange(4)
    if kind == 0:
        del lines[place]
    elif kind == 1:
        lines.insert(place, lines[rng.randrange(len(lines))] if lines else "")
    else:
        words = lines[place].split(" ")
        words[rng.randrange(len(words))] = rng.choice(TEXTS)
        lines[place] = " ".join(words)
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def json_value(data: bytes, rng: Random) -> bytes:
    """Replace, remove or repeat one value of a JSON file, at any depth."""
    try:
        whole = json.loads(data)
    except ValueError:
        return damage(data, rng)
    if rng.random() < 0.05:
        return rng.choice((b"[" * 100_000, b'{"a":' * 5000, b"9" * 5000, b'"\\ud800"', b"null", b'{"a": 1, "a": 2}'))
    return json.dumps(changed(whole, rng)).encode("utf-8", "surrogatepass")


def changed(value: Any, rng: Random) -> Any:
    """Return a copy of plain values with one of them replaced, removed or renamed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(sorted(value, key=str))
        kind = rng.randrange(6)
        if kind == 0:
            return {name: item for name, item in value.items() if name != key}
        if kind == 1:
            return {rng.choice(TEXTS) if name == key else name: item for name, item in value.items()}
        return {name: changed(item, rng) if name == key else item for name, item in value.items()}
    if isinstance(value, list | tuple) and value and rng.random() < 0.85:
        place = rng.randrange(len(value))
        kind = rng.randrange(6)
        if kind == 0:
            return [*value[:place], *value[place + 1 :]]
        if kind == 1:
            return [*value[:place], *[value[place]] * rng.choice((2, 100))]
        return [*value[:place], changed(value[place], rng), *value[place + 1 :]]
    return rng.choice(VALUES)


def yaml_text(data: bytes, rng: Random) -> bytes:
    """Put a strange value, or a construct of YAML that settings have no use for, in place of one value."""
    strange = (
        *("2001-13-45", "!!bool maybe", "!!python/object/apply:os.system [id]", "9" * 5000, "[" * 1500, "{a: " * 300),
        *("&a [*a, *a]", "!!binary x", "!!int x", "!!float .", "!!timestamp x", "? x", "<<: 3", "0x", "1_0_", ".inf"),
        *(
            "190:20:30",
            "'",
            '"\\x0"',
            "|",
            "- - -",
            "!!set {a, b}",
            "!!omap [a: 1]",
            "2001-01-01",
            "0o9",
            "~",
            "%YAML 9",
        ),
        *("&a {b: &c [x, x, x, x, x, x, x, x]}", "\x85", "\ufeff", "!<x> y", "{? [1]: 2}", "{[1]: 2}", "{{}: 2}"),
    )
    if rng.random() < 0.1:
        names = "abcdefgh"
        bomb = [f"{names[0]}: &{names[0]} [x, x, x, x, x, x, x, x, x]"]
        bomb += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in itertools.pairwise(names)]
        return ("\n".join(bomb) + "\n").encode()
    lines = data.decode("utf-8", "replace").split("\n")
    place = rng.randrange(len(lines))
    key, colon, _ = lines[place].partition(":")
    lines[place] = f"{key}{colon} {rng.choice((*strange, *TEXTS))}"
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def csv_cell(data: bytes, rng: Random) -> bytes:
    """Replace a cell, a column or a row of a table."""
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8", "replace"))))
    except csv.Error:
        rows = []
    if not rows:
        return damage(data, rng)
    row = rows[rng.randrange(len(rows))]
    kind = rng.randrange(7)
    if kind == 0 and row:
        del row[rng.randrange(len(row))]
    elif kind == 1:
        row.insert(rng.randrange(len(row) + 1), rng.choice(TEXTS))
    elif kind == 2:
        rows.insert(rng.randrange(len(rows)), list(row))
    elif row:
        row[rng.randrange(len(row))] = rng.choice(
            (*TEXTS, "0" * 200_000, "2", "-2", "1.5", "0x10", "١", "1_000", " 7 ", '"')
        )
    made = io.StringIO()
    csv.writer(made, lineterminator="\n").writerows(rows)
    return made.getvalue().encode("utf-8", "surrogatepass")


def npy_header(data: bytes, rng: Random) -> bytes:
    """Change what a NumPy file says of its type, order and shape."""
    if data[:6] != b"\x93NUMPY" or len(data) < 10:
        return damage(data, rng)
    length = struct.unpack("<H", data[8:10])[0]
    header, rest = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    descr = rng.choice(
        ("'|O'", "'<f8'", "'|S9999999'", "'<U3'", "'<M8[s]'", "[('a', '<f4')]", "'<f2'", "'x'", "None", "'|V0'")
    )
    shape = rng.choice(
        ("()", "(0,)", "(-1, 2)", "(9999999999, 2)", "(2, 2, 2)", "3", "(2**40,)", "(1, 1e3)", "[2]", "(0, 10**12)")
    )
    changed_ = rng.choice(
        (
            f"{{'descr': {descr}, 'fortran_order': False, 'shape': (2, 4), }}",
            f"{{'descr': '<f4', 'fortran_order': {rng.choice(('True', '0', 'None'))}, 'shape': {shape}, }}",
            header.replace("'shape': (", "'shape': (99999999, "),
            header.replace("descr", "descry"),
            "(" * 3000,
            "__import__('os')",
            header.replace("False", "True"),
            "{" + header,
        )
    )
    made = changed_.encode("latin1") + b"\n"
    return data[:8] + struct.pack("<H", len(made)) + made + rest


def zipped(inner: Mutator) -> Mutator:
    """Return a mutator of zip archives that changes one file in it, with a right checksum, or the archive's entries."""

    def mutate(data: bytes, rng: Random) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                files = {name: archive.read(name) for name in archive.namelist()}
        except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, EOFError):
            return damage(data, rng)
        if not files:
            return damage(data, rng)
        name = rng.choice(sorted(files))
        kind = rng.randrange(10)
        made = io.BytesIO()
        compressed = zipfile.ZIP_DEFLATED if kind == 0 else zipfile.ZIP_STORED
        with zipfile.ZipFile(made, "w", compressed) as archive:
            for other, content in files.items():
                if other == name and kind == 1:
                    continue
                if other == name and kind == 2:
                    other = rng.choice(("../../x", "/x", "y", "x" * 3000, other + "/", other.upper()))
                elif other == name and kind == 3:
                    content = bytes(5_000_000)
                elif other == name and kind > 3:
                    content = inner(content, rng) if rng.random() < 0.7 else damage(content, rng)
                archive.writestr(other, content)
            if kind == 0 and rng.random() < 0.5:
                archive.writestr("more", bytes(20_000_000))
        return made.getvalue()

    return mutate


def pickle_opcode(data: bytes, rng: Random) -> bytes:
    """Change, remove or insert one instruction of a pickle."""
    try:
        ops = [(op, argument, place) for op, argument, place in pickletools.genops(data)]
    except Exception:  # it was no pickle
        return damage(data, rng)
    ends = [place for _, _, place in ops[1:]] + [len(data)]
    number = rng.randrange(len(ops))
    begin, end = ops[number][2] or 0, ends[number] or len(data)
    inserted = rng.choice(
        (
            *(
                b"",
                b"N",
                b"0",
                b"(",
                b"]",
                b"}",
                b"R",
                b"b",
                b"s",
                b"u",
                b"e",
                b".",
                b"t",
                b"\x85",
                b"\x81",
                b"Q",
                b"a",
            ),
            b"cos\nsystem\n",
            b"cbuiltins\neval\n",
            b"ctorch\nFloatStorage\n",
            b"ctorch._utils\n_rebuild_tensor_v2\n",
            b"X" + struct.pack("<I", 0xFFFFFFF0),
            b"r" + struct.pack("<I", 0x7FFFFFFF),
            b"j" + struct.pack("<I", 0x7FFFFFFF),
            b"\x8b" + struct.pack("<i", 0x7FFFFFF0),
            b"\x8a\xff" + bytes(255),
            b"J" + struct.pack("<i", -1),
            b"M\xff\xff",
            b"G" + struct.pack(">d", math.nan),
            b"X\x03\x00\x00\x00abc",
            b"B" + struct.pack("<I", 0x7FFFFFFF),
            b"(" * 5000,
        )
    )
    kind = rng.randrange(4)
    if kind == 0:
        return data[:begin] + data[end:]
    if kind == 1:
        return data[:begin] + inserted + data[begin:]
    if kind == 2:
        return data[:begin] + inserted + data[end:]
    one = data[begin:end]
    return data[:begin] + damage(one, rng) + data[end:]


def png_chunk(data: bytes, rng: Random) -> bytes:
    """Change one chunk of a PNG: its type, length or content, with a right checksum."""
    chunks, place = [], 8
    while place + 8 <= len(data):
        length = struct.unpack(">I", data[place : place + 4])[0]
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if not chunks:
        return damage(data, rng)
    number, kind = rng.randrange(len(chunks)), rng.randrange(6)
    name, content = chunks[number]
    if kind == 0:
        del chunks[number]
    elif kind == 1:
        chunks.insert(number, (name, content))
    elif kind == 2:
        chunks[number] = (
            rng.choice((b"IDAT", b"PLTE", b"tRNS", b"acTL", b"fdAT", b"eXIf", b"zTXt", b"iCCP", b"IEND")),
            content,
        )
    elif kind == 3 and name == b"IHDR":
        width, height = (rng.choice((0, 1, 30000, 0x7FFFFFFF, 0xFFFFFFFF)) for _ in range(2))
        chunks[number] = (name, struct.pack(">II", width, height) + content[8:])
    elif kind == 4 and name == b"IDAT":
        try:
            chunks[number] = (name, zlib.compress(damage(zlib.decompress(content), rng)))
        except zlib.error:
            chunks[number] = (name, zlib.compress(bytes(10_000_000)))
    else:
        chunks[number] = (name, damage(content, rng))
    made = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return data[:8] + made


def jpeg_segment(data: bytes, rng: Random) -> bytes:
    """Change one segment of a JPEG: its marker, length, content, or the size that a frame says."""
    place, segments = 2, []
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != 0xDA:
        length = struct.unpack(">H", data[place + 2 : place + 4])[0]
        segments.append((place, length))
        place += 2 + length
    if not segments or rng.random() < 0.3:
        body = damage(data[place:], rng)
        return data[:place] + body
    begin, length = rng.choice(segments)
    segment = bytearray(data[begin : begin + 2 + length])
    kind = rng.randrange(5)
    if kind == 0:
        segment[1] = rng.choice(
            (0xC0, 0xC1, 0xC2, 0xC3, 0xC4, 0xC9, 0xDB, 0xDD, 0xE1, 0xE2, 0xEE, 0xFE, 0x00, 0xD8, 0xD9)
        )
    elif kind == 1:
        segment[2:4] = struct.pack(">H", rng.choice((0, 1, 2, 3, 0xFFFF, length + 1)))
    elif kind == 2 and segment[1] in (0xC0, 0xC2) and len(segment) > 9:
        segment[5:9] = struct.pack(">HH", *(rng.choice((0, 1, 30000, 65535)) for _ in range(2)))
    elif kind == 3:
        segment = segment * 2
    else:
        segment[4:] = damage(bytes(segment[4:]), rng)
    return data[:begin] + bytes(segment) + data[begin + 2 + length :]


def mat5_tag(data: bytes, rng: Random) -> bytes:
    """Change a tag of a MATLAB 5 file, also inside what is compressed."""
    if len(data) < 136:
        return damage(data, rng)
    elements, place = [], 128
    while place + 8 <= len(data):
        kind, length = struct.unpack("<II", data[place : place + 8])
        elements.append((kind, data[place + 8 : place + 8 + length]))
        place += 8 + length
    if not elements:
        return damage(data, rng)
    number = rng.randrange(len(elements))
    kind, content = elements[number]
    packed = kind == 15
    try:
        inner = bytearray(zlib.decompress(content) if packed else content)
    except zlib.error:
        return damage(data, rng)
    for _ in range(rng.choice((1, 1, 2))):
        at = 4 * rng.randrange(max(1, min(len(inner), 400) // 4))
        inner[at : at + 4] = struct.pack("<I", rng.choice((*range(20), *LARGE[:6], 1 << 20)) & 0xFFFFFFFF)
    new = zlib.compress(bytes(inner)) if packed else bytes(inner)
    elements[number] = (kind, new)
    return data[:128] + b"".join(struct.pack("<II", k, len(c)) + c for k, c in elements)


def hdf5_object(data: bytes, rng: Random) -> bytes:
    """Change one attribute or dataset of an HDF5 file: its kind, type, shape, values; or make it a link or a group."""
    made = io.BytesIO(data)
    try:
        with h5py.File(made, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            if rng.random() < 0.4 and len(file.attrs):
                _change_attribute(file, rng)
            elif names:
                _change_dataset(file, rng.choice(sorted(names)), rng)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError):
        return damage(data, rng)
    return made.getvalue()


def _change_attribute(file: h5py.File, rng: Random) -> None:
    name = rng.choice(sorted(file.attrs))
    value = file.attrs[name]
    kind = rng.randrange(4)
    if kind == 0:
        del file.attrs[name]
    elif kind == 1 and isinstance(value, str) and value.startswith("{"):
        file.attrs[name] = json_value(value.encode(), rng).decode("utf-8", "replace").replace("\0", "")
    else:
        strange: tuple[Any, ...] = (
            *(1, -1, 2**62, 1.5, math.nan, True, "", "x" * 5000, b"\xff\xfe", "{", "[]", "null", '{"a": NaN}'),
            *(np.zeros(3), np.zeros((0,)), np.array(["a", "b"], "S1"), h5py.Empty("f8"), np.array([1, 2], np.int8)),
        )
        del file.attrs[name]
        file.attrs[name] = rng.choice(strange)


def _change_dataset(file: h5py.File, name: str, rng: Random) -> None:
    old = file[name]
    shape = old.shape if isinstance(old, h5py.Dataset) else ()
    values = old[()] if isinstance(old, h5py.Dataset) and old.size and old.size < 1e6 else np.zeros(1)
    kind = rng.randrange(12)
    del file[name]
    if kind == 0:
        return
    if kind == 1:
        file.create_group(name)
    elif kind == 2:
        file[name] = h5py.SoftLink(rng.choice(("/" + name, "/nowhere", "/key", "/")))
    elif kind == 3:
        file[name] = h5py.ExternalLink(rng.choice(("/etc/passwd", "/dev/zero", "other.h5")), "/key")
    elif kind == 4:
        huge = rng.choice(((1 << 40,), (1 << 33, 24, 8, 8, 3), (10**9, 32), (1 << 31, 2)))
        file.create_dataset(name, huge, "u1", chunks=tuple(min(side, 64) for side in huge))
    elif kind == 5:
        file.create_dataset(name, data=np.array(["x", "y" * 3000], object), dtype=h5py.string_dtype())
    elif kind == 6 and isinstance(values, np.ndarray) and values.dtype.kind in "iuf":
        types = ("f8", "i8", "u1", "i2", "c8", "?")
        with np.errstate(all="ignore"):
            file[name] = values.astype(rng.choice(types))
    elif kind == 7 and isinstance(values, np.ndarray):
        file[name] = rng.choice(
            (values[:-1], np.concatenate([values, values[:1]]), values[None], values.ravel(), values[:0])
        )
    elif kind == 8 and isinstance(values, np.ndarray) and values.dtype.kind in "iuf" and values.size:
        flat = values.ravel().copy()
        with np.errstate(all="ignore"):
            flat[rng.randrange(len(flat))] = np.array(
                rng.choice((-1, 0, 255, 1 << 31, (1 << 62), math.nan if values.dtype.kind == "f" else 7))
            ).astype(values.dtype)
        file[name] = flat.reshape(values.shape)
    elif kind == 9:
        file.create_dataset(name, shape or (1,), "u1", chunks=True, compression="gzip")
    elif kind == 10:
        file.create_dataset(name, (1000,), "u1", external=[("/etc/passwd", 0, 1000)])
    else:
        file.create_dataset(name, shape, old.dtype if isinstance(old, h5py.Dataset) else "u1", fillvalue=None)
