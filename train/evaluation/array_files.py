"""Arrays in files that other programs wrote, by name, read without running code in them.

NumPy's .npy and .npz, HDF5, MATLAB 5, torch.save's .pt and .pth, and a folder of .npy files, one an image, as
fast-reid's demo writes them. The rows of .npy and HDF5 stay on disk until they are sliced.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.lib.format import open_memmap

from dsa_app.errors import CheckpointError, DatasetError
from dsa_app.guard import guarded
from dsa_data.matlab import read_mat, variables_of_mat
from dsa_data.npy import array_of
from dsa_data.records import DIGEST
from dsa_data.stores.features import FEATURES, FeatureStore, origin_of
from dsa_data.stores.header import header_of
from dsa_data.stores.heap import check_heap
from dsa_reid.model import digest_of

from ..network.weights_file import read_plain
from .distmat import Rows

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".mat", ".pt", ".pth")
WHOLE = "features"  # the name of the only array of a .npy, of a store of ours, and of a folder
HDF5 = b"\x89HDF\r\n\x1a\n"
INFLATES = 50  # times its size that an .npz may state at most: a few bytes may inflate to all memory
REMEDY = "Save it again, as numbers alone."


class ArrayFile:
    """The arrays of a file by name, and the keys of the rows where the file names them.

    Attributes:
        arrays: each an array, or rows that stay on disk.
        keys: paths of the images, row by row, of a file that `dsa-train embed` wrote; stems of the files of a folder;
            None for all others.
        stems: whether the keys are names of files without folder and suffix.
        digests: SHA-256 of the images, row by row, of a file that `dsa-train embed` wrote; None for all others.
        words: lists of words by name, as the split of each row; of .npz and HDF5.
        dataset: the name of the dataset that the file states; "" if it states none.
        identity: digest of keys and features of a store of ours; "" for all others.
        parts: of a row, by their lengths in order, of a file that `dsa-train embed` wrote; empty for all others.
    """

    def __init__(
        self,
        arrays: Mapping[str, Rows],
        keys: Sequence[str] | None = None,
        stems: bool = False,
        digests: Sequence[str] | None = None,
        words: Mapping[str, Sequence[str]] | None = None,
        dataset: str = "",
        identity: str = "",
        parts: Mapping[str, int] | None = None,
    ) -> None:
        self.arrays = dict(arrays)
        self.keys, self.stems, self.digests = keys, stems, digests
        self.words = dict(words or {})
        self.dataset, self.identity, self.parts = dataset, identity, dict(parts or {})


def read_arrays(path: Path) -> ArrayFile:
    """Return the arrays of numbers in a file or folder.

    Raises DatasetError if it is missing, damaged, of another format, or holds more than numbers; no code in it is run.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist. Name a file of features or distances ({', '.join(SUFFIXES)}).")
    with guarded(DatasetError, path, "cannot be read as arrays of numbers", REMEDY):
        if path.is_dir():
            return _folder(path)
        suffix = path.suffix.lower()
        if suffix == ".npy":
            return _npy(path)
        if suffix == ".npz":
            return _npz(path)
        if suffix in (".h5", ".hdf5"):
            return _hdf5(path)
        if suffix == ".mat":
            return ArrayFile(_mat(path))
        if suffix in (".pt", ".pth"):
            return ArrayFile(_torch(path))
    raise DatasetError(
        f"{path} has an unknown format. Expected one of {', '.join(SUFFIXES)}, or a folder of .npy files."
    )


def digest_of_arrays(path: Path) -> str:
    """Return the SHA-256 of a file of arrays, or of the names and contents of a folder's."""
    if not path.is_dir():
        return digest_of(path)
    lines = [f"{file.name} {digest_of(file)}" for file in sorted(path.glob("*.npy"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def numbers(value: Any) -> np.ndarray | None:
    """Return a value of a file as an array of numbers; None for what is none.

    A value is an array, a tensor, a number, or a list of these of one shape, as `list.extend` collects them.
    """
    if isinstance(value, torch.Tensor):
        value = value.detach().to(torch.float32) if value.dtype == torch.bfloat16 else value.detach()
        return np.asarray(value.numpy())
    if isinstance(value, list | tuple) and value and all(isinstance(one, torch.Tensor) for one in value):
        value = np.stack([one.detach().numpy() for one in value])
    try:
        array = np.asarray(value)
    except ValueError:  # a list of several shapes
        return None
    return array if array.dtype.kind in "fiu" else None


def _npy(path: Path) -> ArrayFile:
    rows = open_memmap(path, mode="r")
    if rows.dtype.kind not in "fiu" or not rows.ndim:
        raise ValueError(f"it holds {rows.dtype}{rows.shape}")
    beside = path.with_suffix(".csv")
    lines = beside.read_text(encoding="utf-8").splitlines() if beside.is_file() else []
    named = lines[:1] == ["key,digest"] and len(lines) == len(rows) + 1  # dsa-train embed wrote it
    if not named:
        return ArrayFile({WHOLE: rows})
    keys, digests = zip(*(line.rsplit(",", 1) for line in lines[1:]), strict=True)
    known = digests if all(map(DIGEST.fullmatch, digests)) else None
    return ArrayFile({WHOLE: rows}, keys, digests=known, parts=_parts_beside(path, rows.shape[1]))


def _parts_beside(path: Path, width: int) -> dict[str, int]:
    """Return the parts of a row of a .npy by the .json that `dsa-train embed` wrote beside it; empty without that.

    Raises ValueError if they are of another width.
    """
    beside = path.with_suffix(".json")
    if not beside.is_file():
        return {}
    about = json.loads(beside.read_text(encoding="utf-8"))
    parts = origin_of(header_of(about["dataset"], about["configuration"], about["inputs"])).parts
    if sum(parts.values()) != width:
        raise ValueError(f"its .json has {sum(parts.values())} columns, the file {width}; keep the three together")
    return parts


def _npz(path: Path) -> ArrayFile:
    with zipfile.ZipFile(path) as archive:
        stated = sum(entry.file_size for entry in archive.infolist())
        if stated > INFLATES * path.stat().st_size:
            raise ValueError(f"it states {stated} bytes, more than {INFLATES} times its size")
        read = {name.removesuffix(".npy"): array_of(archive.read(name)) for name in archive.namelist()}
    words = {name: array.astype(str).reshape(-1).tolist() for name, array in read.items() if array.dtype.kind in "US"}
    arrays = {name: array.copy() for name, array in read.items() if array.dtype.kind in "fiu"}
    return ArrayFile(arrays, words=words, dataset="".join(words.get("dataset", [])[:1]))


def _hdf5(path: Path) -> ArrayFile:
    check_heap(path)
    file = h5py.File(path, "r", locking=False)
    if file.attrs.get("format") == FEATURES:
        file.close()
        store = FeatureStore(path)
        found = str(store.header.dataset)
        return ArrayFile(
            {WHOLE: store},
            store.keys,
            digests=store.digests,
            dataset=found,
            identity=store.identity,
            parts=store.origin.parts,
        )
    datasets = dict(_datasets(file))
    words = {
        name: [word.decode() for word in item[:].tolist()]
        for name, item in datasets.items()
        if item.dtype.kind == "S" and item.ndim == 1 and item.chunks is None and item.nbytes <= path.stat().st_size
    }
    arrays: dict[str, Rows] = {name: item for name, item in datasets.items() if item.dtype.kind != "S"}
    if not arrays:
        file.close()
        raise ValueError("it has no dataset of numbers")
    return ArrayFile(arrays, words=words)


def _datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the datasets of numbers, and of words of a fixed length, in a file by their last name.

    Links into other files are not followed.
    """
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            continue
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(item)
        elif item.dtype.kind in "fiuS" and item.ndim and not item.is_virtual and not item.external:
            yield name, item


def _mat(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        start = file.read(1024)
    if HDF5 in start:
        raise ValueError("it is of MATLAB 7.3; save it with save(..., '-v7')")
    problem = "cannot be read as a MATLAB 5 file"
    names = variables_of_mat(path, DatasetError, problem, REMEDY)
    read = read_mat(path, names, DatasetError, problem, REMEDY)
    return {name: array for name, array in read.items() if array.dtype.kind in "fiu"}


def _torch(path: Path) -> dict[str, np.ndarray]:
    try:
        content = read_plain(path)
    except CheckpointError as error:
        raise DatasetError(str(error)) from None
    except OSError:
        raise
    except Exception:  # torch raises many kinds for what it cannot read
        raise ValueError("it is damaged, or contains more than numbers; no code in it was run") from None
    if (alone := numbers(content)) is not None:
        return {WHOLE: alone}
    if not isinstance(content, Mapping):
        raise ValueError("expected a tensor, or a dictionary of tensors and lists")
    named = {str(name): numbers(value) for name, value in content.items()}
    return {name: array for name, array in named.items() if array is not None and array.ndim}


def _folder(path: Path) -> ArrayFile:
    """Return the features of a folder of .npy files, (D,) or (1, D) each, a row each, sorted by name."""
    files = sorted(path.glob("*.npy"))
    if not files:
        raise ValueError("it has no .npy files")
    rows = [_row(file) for file in files]
    if len({len(row) for row in rows}) > 1:
        raise ValueError("its files are of several lengths")
    return ArrayFile({WHOLE: np.stack(rows)}, [file.stem for file in files], stems=True)


def _row(path: Path) -> np.ndarray:
    """Return the feature (D,) in a .npy of a folder. Raises DatasetError, naming this file, if it is damaged."""
    with guarded(DatasetError, path, "cannot be read as arrays of numbers", REMEDY):
        return np.asarray(array_of(path.read_bytes()), np.float32).reshape(-1)
