"""The schema of what is kept in HDF5: I, U, V maps (`iuv.h5`) and DSAP tensors (`dsap.h5`).

No module but this and its sibling `feature_store` names a dataset inside a file. `docs/formats.md` describes all
forms. None holds a time or a path: the same content gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import zstandard

from .errors import StoreError

IUV, DSAP = "dsa-reid iuv", "dsa-reid dsap"
VERSION = 1
CHARTS = 24
STATUS = ("none", "found", "fallback")  # how stage one came by a map, by its code in the store
COMPRESSION = 1  # zstd; level 3 takes a quarter more time and saves nothing, 9 takes six times as long for 4%
MAP_ROWS = 16_384  # pixels in a chunk of I, U, V maps


@dataclasses.dataclass(frozen=True)
class Header:
    """What a store says of its making.

    Args:
        dataset: the dataset's name.
        configuration: the whole configuration of the stage, engine and checkpoint digest included.
        inputs: SHA-256 over what the stage read, see `digest_of`.
    """

    dataset: str
    configuration: dict[str, Any]
    inputs: str


@dataclasses.dataclass(frozen=True)
class IuvMap:
    """The I, U, V map of one picture and how it came about.

    Args:
        iuv: uint8 (H, W, 3): chart 0..24, round(255 u), round(255 v).
        score: the detector's, 0 to 1; NaN where there is none.
        box: float32 (4,), x0, y0, x1, y1 in pixels; NaN where there is none.
        status: "found", "fallback" or "none".
        digest: SHA-256 of the picture's bytes, hexadecimal.
        unit: SHA-256 of all that decided the map: the picture and those that were computed in one batch with it.
    """

    iuv: np.ndarray
    score: float
    box: np.ndarray
    status: str
    digest: str
    unit: str


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256 over lines of text, in hexadecimal."""
    whole = hashlib.sha256()
    for line in lines:
        whole.update(line.encode() + b"\n")
    return whole.hexdigest()


def map_checksum(iuv: np.ndarray) -> str:
    """Return the SHA-256 over a map's size and bytes, in hexadecimal."""
    return hashlib.sha256(f"{iuv.shape}".encode() + iuv.tobytes()).hexdigest()


class Store:
    """An open store: header, keys, and reading that is safe in forked and spawned workers."""

    form: str
    remedy: str

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._file: h5py.File | None = None
        self._datasets: dict[str, h5py.Dataset] = {}
        self._owner = -1
        with self._guard():
            attributes = dict(self.file.attrs)
            self._check_form(attributes)
            configuration = json.loads(attributes["configuration"])
            self.header = Header(str(attributes["dataset"]), configuration, str(attributes["inputs"]))
            self.keys = [key.decode() for key in self.file["key"][:]]
        self._index = {key: place for place, key in enumerate(self.keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "_datasets": {}, "_owner": -1}

    def index(self, key: str) -> int:
        """Return the place of a picture. Raises StoreError if the store does not hold it."""
        if key not in self._index:
            raise StoreError(f"{self.path} does not hold {key}. Build it again from the present manifest.")
        return self._index[key]

    @property
    def file(self) -> h5py.File:
        """The HDF5 file, opened by this very process: HDF5 does not survive a fork."""
        if self._file is None or self._owner != os.getpid():
            if not self.path.is_file():
                what = "is no file" if self.path.exists() else "does not exist"
                raise StoreError(f"{self.path} {what}. {self.remedy}")
            self._file = h5py.File(self.path, "r", locking=False)
            self._datasets = {}
            self._owner = os.getpid()
        return self._file

    def _dataset(self, name: str) -> h5py.Dataset:
        """Return a dataset of the open file, kept: looking it up takes longer than reading a picture from it."""
        file = self.file  # may open it anew
        if name not in self._datasets:
            self._datasets[name] = file[name]
        return self._datasets[name]

    def close(self) -> None:
        """Close the file; it opens again on the next reading."""
        if self._file is not None and self._owner == os.getpid():
            self._file.close()
        self._file, self._datasets = None, {}

    def _check_form(self, attributes: dict[str, Any]) -> None:
        form, version = attributes.get("format"), attributes.get("version")
        if form != self.form:
            raise StoreError(f"{self.path} is not a {self.form} store. Name another file. {self.remedy}")
        if version != VERSION:
            raise StoreError(f"{self.path} has version {version}, this program reads {VERSION}. {self.remedy}")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Turn whatever HDF5 and zstd say of a damaged file into a StoreError."""
        try:
            yield
        except (OSError, KeyError, RuntimeError, ValueError, zstandard.ZstdError) as error:
            if isinstance(error, PermissionError):
                raise
            reason = " ".join(str(error).split())
            raise StoreError(f"{self.path} is damaged or cut short ({reason}). {self.remedy}") from None


class IuvStore(Store):
    """The I, U, V maps of a dataset, by place or key."""

    form = IUV
    remedy = "Make it again: densepose-extract run --overwrite."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            self.shapes = self.file["shape"][:]  # (N, 2): H, W
            self.digests = to_hex(self.file["digest"][:])
            self.units = to_hex(self.file["unit"][:])
            self.checksums = to_hex(self.file["checksum"][:])
            self.scores = self.file["score"][:]
            self.boxes = self.file["box"][:]
            self.statuses = [STATUS[code] for code in self.file["status"][:]]
            self._offset = self.file["offset"][:]

    def read(self, place: int) -> IuvMap:
        """Return the map of the picture at `place`. Raises StoreError if it is not what was stored."""
        with self._guard():
            pixels = self._dataset("iuv")[self._offset[place] : self._offset[place + 1]]
            iuv = pixels.reshape(*self.shapes[place], 3)
        if map_checksum(iuv) != self.checksums[place]:
            raise StoreError(f"{self.path}: the map of {self.keys[place]} is damaged. {self.remedy}")
        return IuvMap(
            iuv,
            float(self.scores[place]),
            self.boxes[place],
            self.statuses[place],
            self.digests[place],
            self.units[place],
        )


def write_iuv(path: Path, header: Header, keys: Sequence[str], shapes: np.ndarray, maps: Iterable[IuvMap]) -> Path:
    """Write an IUV store in one go.

    Args:
        keys: N keys, in the order of `maps`.
        shapes: (N, 2), each map's H and W.
        maps: N maps, taken one at a time.
    """
    offset = np.concatenate([[0], np.cumsum(np.prod(shapes, axis=1, dtype=np.int64))])
    count = len(keys)
    columns: dict[str, np.ndarray] = {
        "score": np.zeros(count, np.float32),
        "box": np.zeros((count, 4), np.float32),
        "status": np.zeros(count, np.uint8),
        "digest": np.zeros((count, 32), np.uint8),
        "unit": np.zeros((count, 32), np.uint8),
        "checksum": np.zeros((count, 32), np.uint8),
    }
    with creating(path, IUV, header, keys) as file:
        file["offset"], file["shape"] = offset, np.asarray(shapes, np.int32)
        pixels = file.create_dataset(
            "iuv",
            (int(offset[-1]), 3),
            np.uint8,
            chunks=(min(MAP_ROWS, int(offset[-1])), 3),
            **hdf5plugin.Zstd(clevel=COMPRESSION),
        )
        written = 0
        for place, one in enumerate(maps):
            assert one.iuv.shape == (*shapes[place], 3), f"{keys[place]}: a map of another size than announced"
            pixels[offset[place] : offset[place + 1]] = one.iuv.reshape(-1, 3)
            columns["score"][place], columns["box"][place] = one.score, one.box
            columns["status"][place] = STATUS.index(one.status)
            columns["digest"][place] = from_hex(one.digest)
            columns["unit"][place] = from_hex(one.unit)
            columns["checksum"][place] = from_hex(map_checksum(one.iuv))
            written += 1
        assert written == count, "a map for every key"
        for name, column in columns.items():
            file[name] = column
    return path


@dataclasses.dataclass(frozen=True)
class Chunk:
    """One picture's DSAP as it lies in a store: compressed, with what tells whether it is still true.

    Args:
        texels, valid: zstd frames of uint8 (24, S, S, 3) and of its packed bits.
        checksum: CRC-32 of both, not compressed.
        count: valid texels by chart, int (24,).
        digest: SHA-256 of the picture's bytes.
        map: SHA-256 of its I, U, V map.
    """

    texels: bytes
    valid: bytes
    checksum: int
    count: np.ndarray
    digest: str
    map: str


def pack(texels: np.ndarray, valid: np.ndarray, digest: str, map_digest: str) -> Chunk:
    """Compress texels uint8 (24, S, S, 3) and valid bool (24, S, S) into a chunk ready to be stored."""
    raw, bits = np.ascontiguousarray(texels).data, np.packbits(valid).data
    compressor = zstandard.ZstdCompressor(level=COMPRESSION, write_checksum=True)
    return Chunk(
        compressor.compress(raw),
        compressor.compress(bits),
        zlib.crc32(bits, zlib.crc32(raw)),
        valid.sum(axis=(1, 2), dtype=np.int32),
        digest,
        map_digest,
    )


class DsapStore(Store):
    """The DSAP tensors of a dataset, by place or key, one or many at a time."""

    form = DSAP
    remedy = "Build it again: dsap build --overwrite."

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._guard():
            self.size = int(self.file["texels"].shape[2])  # S
            self.checksums = self.file["checksum"][:]
            self.counts = self.file["count"][:]  # (N, 24)
            self.digests = to_hex(self.file["digest"][:])
            self.maps = to_hex(self.file["map"][:])

    def chunk(self, place: int) -> Chunk:
        """Return the stored chunk of the picture at `place`, as it is."""
        with self._guard():
            _, texels = self._dataset("texels").id.read_direct_chunk((place, 0, 0, 0, 0))
            _, valid = self._dataset("valid").id.read_direct_chunk((place, 0))
        return Chunk(
            bytes(texels),
            bytes(valid),
            int(self.checksums[place]),
            self.counts[place],
            self.digests[place],
            self.maps[place],
        )

    def read(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (24, S, S, 3) and valid bool (24, S, S) of one picture.

        Raises StoreError if they are not what was stored.
        """
        chunk, S = self.chunk(place), self.size
        with self._guard():
            decompressor = zstandard.ZstdDecompressor()
            texels = decompressor.decompress(chunk.texels, max_output_size=CHARTS * S * S * 3)
            bits = decompressor.decompress(chunk.valid, max_output_size=CHARTS * S * S // 8)
        if zlib.crc32(bits, zlib.crc32(texels)) != chunk.checksum:
            raise StoreError(f"{self.path}: the texels of {self.keys[place]} are damaged. {self.remedy}")
        valid = np.unpackbits(np.frombuffer(bits, np.uint8)).view(bool)
        return np.frombuffer(texels, np.uint8).reshape(CHARTS, S, S, 3), valid.reshape(CHARTS, S, S)

    def read_many(self, places: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return texels uint8 (B, 24, S, S, 3) and valid bool (B, 24, S, S) of several pictures."""
        S = self.size
        texels = np.empty((len(places), CHARTS, S, S, 3), np.uint8)
        valid = np.empty((len(places), CHARTS, S, S), bool)
        for row, place in enumerate(places):
            texels[row], valid[row] = self.read(place)
        return texels, valid


def write_dsap(path: Path, header: Header, size: int, keys: Sequence[str], chunks: Iterable[Chunk]) -> Path:
    """Write a DSAP store in one go from ready chunks.

    Args:
        size: S.
        keys: N keys, in the order of `chunks`.
        chunks: N chunks, taken one at a time.
    """
    count = len(keys)
    columns: dict[str, np.ndarray] = {
        "checksum": np.zeros(count, np.uint32),
        "count": np.zeros((count, CHARTS), np.int32),
        "digest": np.zeros((count, 32), np.uint8),
        "map": np.zeros((count, 32), np.uint8),
    }
    shape, bits = (CHARTS, size, size, 3), CHARTS * size * size // 8
    compression = hdf5plugin.Zstd(clevel=COMPRESSION)
    with creating(path, DSAP, header, keys) as file:
        texels = file.create_dataset("texels", (count, *shape), np.uint8, chunks=(1, *shape), **compression)
        valid = file.create_dataset("valid", (count, bits), np.uint8, chunks=(1, bits), **compression)
        written = 0
        for place, chunk in enumerate(chunks):
            texels.id.write_direct_chunk((place, 0, 0, 0, 0), chunk.texels)
            valid.id.write_direct_chunk((place, 0), chunk.valid)
            columns["checksum"][place], columns["count"][place] = chunk.checksum, chunk.count
            columns["digest"][place], columns["map"][place] = from_hex(chunk.digest), from_hex(chunk.map)
            written += 1
        assert written == count, "a chunk for every key"
        for name, column in columns.items():
            file[name] = column
    return path


@contextmanager
def creating(path: Path, form: str, header: Header, keys: Sequence[str]) -> Iterator[h5py.File]:
    """Open a new store with its header and keys. Raises OSError, with errno and file name, for a full disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _Disk(path, "w+") as disk:
        # the newest form of file: it keeps no times, and indexes chunks of a fixed number in the order of writing
        try:
            with h5py.File(disk, "w", libver="latest") as file:
                file.attrs["format"], file.attrs["version"] = form, VERSION
                file.attrs["dataset"], file.attrs["inputs"] = header.dataset, header.inputs
                file.attrs["configuration"] = json.dumps(header.configuration, sort_keys=True)
                file["key"] = np.array([key.encode() for key in keys], dtype=bytes)
                yield file
        finally:
            if disk.error:
                raise disk.error from None


class _Disk(io.FileIO):
    """A file that keeps its first error, as of a full disk, until HDF5 has closed it: HDF5 crashes where it cannot."""

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or pretend to."""
        rest = memoryview(data)
        try:
            while rest and not self.error:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = OSError(error.errno, error.strerror, str(self.name))
        return len(data)


def to_hex(rows: np.ndarray) -> list[str]:
    """Return digests uint8 (N, 32) as N lines of hexadecimal."""
    return [row.tobytes().hex() for row in rows]


def from_hex(text: str) -> np.ndarray:
    """Return a digest in hexadecimal as uint8 (32,)."""
    return np.frombuffer(bytes.fromhex(text), np.uint8)
