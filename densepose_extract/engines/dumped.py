"""The `import` engine on dumps of detectron2's `apply_net.py dump`: each crop's own person, placed in its image."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsa_app.console import progress
from dsa_app.errors import ImageError
from dsa_app.guard import guarded
from dsa_data.records import Record
from dsa_data.stores.iuv import refine

from ..select import choose
from .dump_file import ENDING, REMEDY, DumpedImage, Patch, open_dump
from .map_files import MapValues
from .maps import FoundMaps, MapFile

EDGE = 1.0  # pixels that a box may lie outside its image, as rounding leaves it


def dumps_in(path: Path) -> list[Path]:
    """Return the dumps that --from names: a file, or all those of a folder that has no other maps; else none."""
    if path.suffix.lower() == ENDING and not path.is_dir():
        return [path]
    return sorted(path.glob(f"*{ENDING}")) if path.is_dir() else []


class Dumped(FoundMaps):
    """The maps of one or several dumps. An image's result has its path, or its file name if that is unique.

    The maps are placed once, when the engine is made, and kept compressed.
    """

    def __init__(
        self, dumps: Sequence[Path], records: Sequence[Record], allow_missing: bool = False, bits: int = 8
    ) -> None:
        """Read the results of `records` in `dumps`.

        Args:
            allow_missing: count an image without a result as one in which no person was detected.
            bits: of a coordinate in the store, 8 or 16.

        Raises ImageError for a dump that cannot be read, a result that is missing or fits no image's size, and for
        results and images that do not fit each other one to one.
        """
        super().__init__(bits)
        keys = Keys(records)
        taken: dict[str, str] = {}
        for path in dumps:
            with open_dump(path) as dumped:
                for entry in progress(dumped, len(dumped), f"reading {path.name}", "images"):
                    record = keys.find(entry.file_name, path)
                    if record is None:
                        self.unused.append(entry.file_name)
                        continue
                    if record.key in taken:
                        raise ImageError(
                            f"{path}: {entry.file_name} and {taken[record.key]} both are {record.key}. Keep one of "
                            "them: dump the folders of the dataset one by one, from the dataset's folder."
                        )
                    taken[record.key] = entry.file_name
                    with guarded(ImageError, path, f"has a damaged result of {entry.file_name}", REMEDY):
                        self._files[record.key] = placed(entry, record, path, bits)
        missing = [record.key for record in records if record.key not in taken]
        expected = f"a file_name that ends with {missing[0]}" if missing else ""
        self.refuse_missing(missing, len(records), allow_missing, dumps[0], expected)


class Keys:
    """The records that a dump's file names may mean."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._by_name: dict[str, list[Record]] = {}
        for record in records:
            self._by_name.setdefault(_names(record.key)[-1], []).append(record)

    def find(self, file_name: str, path: Path) -> Record | None:
        """Return the record whose key ends a file name, else the only one with its name; None if there is none.

        Raises ImageError if several records have the name and none of their keys ends the file name.
        """
        names = _names(file_name)
        same = self._by_name.get(names[-1], [])
        ends = [record for record in same if names[-len(_names(record.key)) :] == _names(record.key)]
        # Of a/b.jpg and b.jpg, both of which end x/a/b.jpg, the longer one is meant.
        best = sorted(ends, key=lambda record: -len(_names(record.key)))[:1] or same
        if len(best) > 1:
            raise ImageError(
                f"{path}: {file_name} fits both {best[0].key} and {best[1].key}. Dump the images with their folders, "
                "from the dataset's folder."
            )
        return best[0] if best else None


def _names(path: str) -> list[str]:
    return [name for name in unicodedata.normalize("NFC", path).split("/") if name not in ("", ".")] or [""]


def placed(entry: DumpedImage, record: Record, path: Path, bits: int) -> MapFile:
    """Return the map of an image: its own person of those detected, or none.

    Raises ImageError for a box outside the image, or a result of another size than its box.
    """
    H, W = record.height, record.width
    index = choose(entry.boxes, entry.scores, H, W)
    if index is None:
        return MapFile(None, "no person in the dump")
    box = entry.boxes[index]
    if box.min() < -EDGE or box[[0, 2]].max() > W + EDGE or box[[1, 3]].max() > H + EDGE:
        raise ImageError(
            f"{path}: {entry.file_name} has a box that ends at {box[2]:.0f}x{box[3]:.0f}, but its image {record.key} "
            f"is {W}x{H}. {REMEDY}"
        )
    patch = entry.patch(index)
    # detectron2 truncates x, y, w and h, each in float32 (make_int_box); w and h are at least 1.
    x, y, w, h = (int(n) for n in (box[0], box[1], box[2] - box[0], box[3] - box[1]))
    if patch.values.shape[:2] != (max(h, 1), max(w, 1)):
        height, width = patch.values.shape[:2]
        raise ImageError(f"{path}: {entry.file_name} has a result of {width}x{height} in a box of {w}x{h}. {REMEDY}")
    values = _whole(patch, x, y, H, W, bits)
    score = float(entry.scores[index])
    digest = hashlib.sha256()
    for part in (values.values, values.fine, np.float32(score), box):
        digest.update(b"" if part is None else np.ascontiguousarray(part).tobytes())
    return MapFile(path, digest.hexdigest(), "rgb", score, bits, values.packed(bits), box=tuple(float(n) for n in box))


def _whole(patch: Patch, x: int, y: int, height: int, width: int, bits: int) -> MapValues:
    """Return the map of a whole image whose patch begins at column x and row y; what is outside is dropped."""
    values = np.zeros((height, width, 3), np.uint8)
    _paste(values, patch.values, x, y)
    if patch.uv is None or bits != 16:
        return MapValues(values)
    fine = np.zeros((height, width, 2), np.uint16)
    _paste(fine, refine(patch.values[..., 0], *patch.uv), x, y)
    return MapValues(values, fine)


def _paste(target: np.ndarray, patch: np.ndarray, x: int, y: int) -> None:
    patch = patch[max(0, -y) :, max(0, -x) :]
    target = target[max(0, y) :, max(0, x) :][: patch.shape[0], : patch.shape[1]]
    target[:] = patch[: target.shape[0], : target.shape[1]]
