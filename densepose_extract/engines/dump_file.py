"""Files of detectron2's `apply_net.py dump`, read without detectron2 and without running code in them.

Such a file is a pickled list with a dictionary an image: `file_name`, `scores` (D,), `pred_boxes_XYXY` (D, 4) and
`pred_densepose`, the D people's charts, u and v inside their boxes. Since October 2022 it is written by torch.save, a
zip archive, and before by `pickle.dump`; until October 2020 with the class DensePoseResult (detectron2's history of
projects/DensePose). Each name that such a pickle needs stands for something of this module that holds numbers; any
other name is an error. Numbers are read only when they are asked for: the file may be larger than memory.
"""

from __future__ import annotations

import base64
import io
import math
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dsa_app.errors import ImageError
from dsa_app.guard import guarded
from dsa_app.wording import shown
from dsa_data import images
from dsa_data.charts import CHARTS
from dsa_data.stores.iuv import quantise
from dsa_reid.guard import check_stored

from ..weights.pickled import ALLOWED, Array, Maker, Reader, check_memo

ENDING = ".pkl"
STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}
CONTAINERS = (  # of projects/DensePose/densepose/structures
    "DensePoseChartResult",
    "DensePoseChartResultWithConfidences",
    "DensePoseChartResultQuantized",
    "DensePoseChartResultCompressed",
    "DensePoseResult",
    "DensePoseEmbeddingPredictorOutput",
)
MAGIC = 0x1950A86A20F9469CFC6C  # torch.serialization.MAGIC_NUMBER
REMEDY = "Make it again: apply_net.py dump."


class Container:
    """One of DensePose's classes: its fields, and nothing that computes."""

    fields: dict[str, Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
            raise pickle.UnpicklingError("an object's state is not its fields")
        self.fields = state


@dataclass(frozen=True)
class Storage:
    """Where the numbers of a tensor are: in a file of the archive, or in the bytes of a torch.save of their own."""

    name: str = ""
    dtype: Any = None
    count: int = 0
    archive: zipfile.ZipFile | None = None
    folder: str = ""
    saved: bytes = b""

    def read(self) -> np.ndarray:
        """Return the numbers, flat. Raises ValueError if there are more or fewer than stated."""
        if self.archive is None:
            return _saved_storage(self.saved)
        data = self.archive.read(f"{self.folder}data/{self.name}")
        if len(data) != self.count * np.dtype(self.dtype).itemsize:
            raise ValueError(f"a tensor's file has {len(data)} bytes, not {self.count} numbers")
        return np.frombuffer(data, self.dtype)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor whose numbers are read by `array`."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def array(self) -> np.ndarray:
        """Return the numbers. Raises ValueError for a size that the storage does not have."""
        flat = self.storage.read()
        last = self.offset + sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if 0 in self.size:
            return np.empty(self.size, flat.dtype)
        if math.prod(self.size) > len(flat) or last >= len(flat):
            raise ValueError(f"a tensor of size {self.size} has {len(flat)} numbers")
        steps = tuple(step * flat.itemsize for step in self.stride)
        return np.lib.stride_tricks.as_strided(flat[self.offset :], self.size, steps, writeable=False).copy()


@dataclass(frozen=True)
class Patch:
    """The I, U, V of one person inside the integer box.

    Attributes:
        values: uint8 (h, w, 3), as in a PNG.
        uv: float32 (2, h, w), clamped to [0, 1]; None where the file has bytes.
    """

    values: np.ndarray
    uv: np.ndarray | None = None


@dataclass(frozen=True)
class DumpedImage:
    """What a dump holds of one image.

    Attributes:
        file_name: as it was given to apply_net.py, with "/".
        scores: float32 (D,).
        boxes: float32 (D, 4), XYXY.
        people: what `patch` reads, one a box.
    """

    file_name: str
    scores: np.ndarray
    boxes: np.ndarray
    people: list[Any]

    def patch(self, index: int) -> Patch:
        """Return the map of one person. Raises ValueError or whatever damaged numbers lead to."""
        return _patch(self.people[index])


@contextmanager
def open_dump(path: Path) -> Iterator[list[DumpedImage]]:
    """Read what a dump holds; its tensors can be read within the context.

    Raises ImageError for a file that is missing, damaged or something else; no code in it is run.
    """
    with guarded(ImageError, path, "is not a dump of apply_net.py, and no code in it was run", REMEDY):
        archive = zipfile.ZipFile(path) if zipfile.is_zipfile(path) else None
    try:
        with guarded(ImageError, path, "is not a dump of apply_net.py, and no code in it was run", REMEDY):
            content = _of_archive(archive, path) if archive else _of_pickle(path.read_bytes())
            if not isinstance(content, list):
                raise ValueError(f"it holds {type(content).__name__}, expected a list of images")
            dumped = [_image(entry) for entry in content]
        yield dumped
    finally:
        if archive:
            archive.close()


def _of_archive(archive: zipfile.ZipFile, path: Path) -> Any:
    check_stored(archive, path)
    pickles = [name for name in archive.namelist() if name.split("/", 1)[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise ValueError("it is an archive without data.pkl")
    folder = pickles[0].removesuffix("data.pkl")
    if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
        raise ValueError("it is of a machine with another byte order")
    data = archive.read(pickles[0])
    check_memo(data)
    return DumpReader(io.BytesIO(data), archive, folder).load()


def _of_pickle(data: bytes) -> Any:
    check_memo(data)
    return DumpReader(io.BytesIO(data)).load()


class DumpReader(Reader):
    """An unpickler that knows tensors, arrays, plain containers and DensePose's classes."""

    def __init__(self, stream: BinaryIO, archive: zipfile.ZipFile | None = None, folder: str = "") -> None:
        super().__init__(stream)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name of the pickle here."""
        if module.startswith(("densepose.structures", "densepose.data.structures")) and name in CONTAINERS:
            return Container
        if module == "torch" and name in STORAGES:
            return Kind(STORAGES[name])
        return NAMES[module, name] if (module, name) in NAMES else super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Storage:
        """Return where a storage of the archive is: ("storage", type, file, device, count)."""
        _, kind, name, _, count, *_ = pid
        if not (isinstance(kind, Kind) and isinstance(name, str) and isinstance(count, int) and count >= 0):
            raise pickle.UnpicklingError("a tensor's storage is not described as torch.save does")
        return Storage(name, kind.dtype, count, self._archive, self._folder)


class Kind:
    """The type of a storage's numbers."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a type")


def tensor_of(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    """Return a tensor that is not read yet, in place of torch._utils._rebuild_tensor_v2."""
    numbers = [offset, *size, *stride]
    if not isinstance(storage, Storage) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor has no storage")
    if not all(isinstance(n, int) and n >= 0 for n in numbers):
        raise pickle.UnpicklingError("a tensor's size is not whole numbers")
    return StoredTensor(storage, offset, tuple(size), tuple(stride))


def storage_of(saved: Any) -> Storage:
    """Return the storage whose torch.save `saved` is, in place of torch.storage._load_from_bytes."""
    if not isinstance(saved, bytes | bytearray):
        raise pickle.UnpicklingError("a tensor's storage is not bytes")
    return Storage(saved=bytes(saved))


def _saved_storage(saved: bytes) -> np.ndarray:
    """Return the numbers of a storage that torch.save wrote alone, in its form of before version 1.6.

    Five pickles (magic number, version, machine, storage, names of storages), the count in 8 bytes, and the numbers.
    """
    check_memo(saved)
    stream = io.BytesIO(saved)
    magic, _, machine, stored, names = (DumpReader(stream).load() for _ in range(5))
    if magic != MAGIC or not isinstance(stored, Storage) or names != [stored.name]:
        raise ValueError("a tensor's storage holds something else")
    if machine.get("little_endian") is not True:
        raise ValueError("it is of a machine with another byte order")
    rest = stream.read()
    if len(rest) != 8 + stored.count * np.dtype(stored.dtype).itemsize:
        raise ValueError(f"a tensor's storage has {len(rest)} bytes, not {stored.count} numbers")
    return np.frombuffer(rest, stored.dtype, offset=8)


NAMES: Mapping[tuple[str, str], Any] = {
    **ALLOWED,
    ("torch._utils", "_rebuild_tensor_v2"): Maker(tensor_of),
    ("torch.storage", "_load_from_bytes"): Maker(storage_of),
}


def _image(entry: Any) -> DumpedImage:
    """Return what a dictionary of the list holds. Raises ValueError if it is none of apply_net.py."""
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        raise ValueError("an entry has no file_name")
    name = entry["file_name"]
    boxes = _numbers(entry["pred_boxes_XYXY"]) if "pred_boxes_XYXY" in entry else np.zeros((0, 4))
    scores = _numbers(entry["scores"]) if "scores" in entry else np.ones(len(boxes))
    people = entry.get("pred_densepose", [])
    if isinstance(people, Container):
        if "embedding" in people.fields:
            raise ValueError(
                f"{shown(name)} has embeddings of a continuous surface (CSE): run apply_net.py with a model of charts"
            )
        people = people.fields.get("results")  # of DensePoseResult
    if boxes.ndim != 2 or boxes.shape[1] != 4 or scores.shape != boxes.shape[:1]:
        raise ValueError(f"{shown(name)} has boxes {boxes.shape} and scores {scores.shape}")
    if not np.isfinite(boxes).all() or not np.isfinite(scores).all():
        raise ValueError(f"{shown(name)} has a box or a score that is not a number")
    if not isinstance(people, list) or len(people) != len(boxes):
        raise ValueError(f"{shown(name)} has no pred_densepose for each of its {len(boxes)} boxes")
    return DumpedImage(name.replace("\\", "/"), scores.astype(np.float32), boxes.astype(np.float32), people)


def _numbers(value: Any) -> np.ndarray:
    """Return a tensor or an array of the pickle as an array."""
    if isinstance(value, StoredTensor):
        return value.array()
    if isinstance(value, Array) and value.data is not None:
        return value.data
    raise ValueError(f"{type(value).__name__} in place of numbers")


def _patch(person: Any) -> Patch:
    """Return the map of one person, of any of DensePose's classes."""
    if isinstance(person, tuple):  # of DensePoseResult: shape and PNG
        return Patch(_png(*person))
    if not isinstance(person, Container):
        raise ValueError(f"{type(person).__name__} in place of a DensePose result")
    fields = person.fields
    if "labels_uv_str" in fields:
        return Patch(_png(fields.get("shape_chw"), fields["labels_uv_str"]))
    if "labels_uv_uint8" in fields:
        return Patch(_checked(_numbers(fields["labels_uv_uint8"]).transpose(1, 2, 0)))
    labels, uv = _numbers(fields.get("labels")), _numbers(fields.get("uv")).astype(np.float32)
    if labels.ndim != 2 or uv.shape != (2, *labels.shape) or labels.min(initial=0) < 0:
        raise ValueError(f"labels {labels.shape} and uv {uv.shape} are no map")
    if labels.max(initial=0) > CHARTS:
        raise ValueError(f"it has chart {labels.max()}, expected 0 to {CHARTS}")
    if not np.isfinite(uv).all():
        raise ValueError("u or v is not a number")
    uv = uv.clip(0, 1) * (labels > 0)
    return Patch(quantise(labels.astype(np.uint8), *uv), uv)


def _png(shape: Any, text: Any) -> np.ndarray:
    """Return the bytes (h, w, 3) that DensePose keeps as a PNG in base64."""
    values = images.decode(base64.b64decode(text), "the PNG in it")
    if tuple(shape) != (3, *values.shape[:2]):
        raise ValueError(f"a PNG of {values.shape} comes with the shape {shown(shape)}")
    return _checked(values)


def _checked(values: np.ndarray) -> np.ndarray:
    if values.ndim != 3 or values.shape[2] != 3 or values.dtype != np.uint8 or values[..., 0].max(initial=0) > CHARTS:
        raise ValueError(f"{values.dtype} {values.shape} is no map of I, U, V")
    return np.asarray(values * (values[..., :1] > 0))
