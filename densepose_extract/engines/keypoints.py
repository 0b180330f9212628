"""The `keypoints` engine: I, U, V from COCO's 17 keypoints that were made elsewhere, with or without person masks."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.records import Record
from dsa_data.stores.header import digest_of

from ..pose.coco import SURE, skeleton_of
from ..pose.keypoint_files import Person, read_people, stem
from ..pose.person_map import mask_of, person_map
from ..select import choose
from .engine import Extracted, identity_of_content
from .maps import MapFile, body_box

VERSION = 1  # raised when the same keypoints get other maps
INSIDE = 128  # value of a mask from which a pixel shows the person; of a mask of 0 and 1 it is 1
MASK_SUFFIX = ".png"


@dataclass(frozen=True)
class PersonFile(MapFile):
    """The keypoints of an image's person, and the file of the mask.

    Attributes:
        path: of the mask; None without one.
        keypoints: float64 (17, 3) in pixels of the image; None if the image has none, or no person of enough keypoints.
    """

    keypoints: np.ndarray | None = None

    def read(self, record: Record) -> Extracted:
        """Return the map of `record`. Raises ImageError if the mask cannot be read, or has another size."""
        skeleton = None if self.keypoints is None else skeleton_of(self.keypoints)
        if skeleton is None:
            return Extracted.no_person(record.height, record.width)
        mask = mask_of(skeleton, record.height, record.width) if self.path is None else read_mask(self.path, record)
        found = person_map(skeleton, mask)
        if not found.iuv[..., 0].any():
            return Extracted.no_person(record.height, record.width)
        fine = found.fine if self.bits == 16 else None
        return Extracted(found.iuv, self.score, body_box(found.iuv), "found", fine, found.confidence)


class Keypoints:
    """The keypoints in a file or folder (`keypoint_files`). Those of a record have its path, or its file name.

    Attributes:
        missing: how many images have no keypoints.
        unused: images of the keypoints that are not in the manifest, as the files name them.
    """

    name = "keypoints"

    def __init__(
        self,
        path: Path,
        records: Sequence[Record],
        masks: Path | None = None,
        allow_missing: bool = False,
        bits: int = 8,
    ) -> None:
        """Read the keypoints, and find those of each record; of several people in an image the crop's own is chosen.

        Args:
            masks: folder of the masks, PNG of the images' sizes, named as they are; in place of BoxMOT's own.
            allow_missing: count an image without keypoints as one in which no person was detected.
            bits: of a coordinate in the store, 8 or 16.

        Raises ImageError for keypoints that cannot be read, that two images claim, or that are missing.
        """
        self.bits = bits
        people: dict[str, list[Person]] = defaultdict(list)
        for person in read_people(path):
            people[person.image].append(person)
        self._names = match_names(path, list(people), [record.key for record in records])
        self._people, self._masks = people, masks
        found = set(self._names.values())
        self.unused = [name for name in people if name not in found]
        without = [record.key for record in records if record.key not in self._names]
        self.missing = len(without)
        if without and not allow_missing:
            others = f"; it has {len(self.unused)} others, first {self.unused[0]}" if self.unused else ""
            raise ImageError(
                f"{path} has no keypoints for {len(without)} of {len(records)} images, first {without[0]}{others}. Add "
                "them, or use --allow-missing to count these images as no person detected."
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name and version, and what its maps hold: the rest is in each map's digest."""
        return {"engine": self.name, "version": VERSION, **identity_of_content(self.bits, "pixels")}

    def find(self, record: Record) -> PersonFile:
        """Return the keypoints and the mask of a record. Raises ImageError if the mask is missing."""
        if record.key not in self._names:
            return PersonFile(None, "missing", bits=self.bits)
        person = own_person(self._people[self._names[record.key]], record)
        keypoints = in_pixels(person, record)
        mask = person.mask if self._masks is None else find_mask(self._masks, record.key)
        content = [hashlib.sha256(keypoints.astype("<f8").tobytes()).hexdigest(), repr(person.score)]
        content += [hashlib.sha256(images.read_bytes(mask)).hexdigest()] if mask else []
        return PersonFile(mask, digest_of(content), score=person.score, bits=self.bits, keypoints=keypoints)


def in_pixels(person: Person, record: Record) -> np.ndarray:
    """Return a person's keypoints (17, 3) with x and y in pixels of the image."""
    size = (record.width, record.height) if person.shares else (1, 1)
    return np.asarray(person.keypoints * np.array([*size, 1.0]))


def own_person(people: Sequence[Person], record: Record) -> Person:
    """Return the crop's own of the people in an image (`select.choose`), by the boxes around their sure keypoints."""
    boxes, scores = [], []
    for person in people:
        keypoints = in_pixels(person, record)
        sure = keypoints[keypoints[:, 2] >= SURE] if (keypoints[:, 2] >= SURE).any() else keypoints
        boxes.append([*sure[:, :2].min(axis=0), *sure[:, :2].max(axis=0)])
        scores.append(1.0 if np.isnan(person.score) else person.score)
    index = choose(np.array(boxes), np.array(scores), record.height, record.width)
    assert index is not None
    return people[index]


def match_names(path: Path, names: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
    """Return the name of each key's keypoints: the key's path, else the end of it, else the number of its file name.

    Raises ImageError if one name fits two keys.
    """
    by_file: dict[str, list[str]] = defaultdict(list)
    known = set(names)
    for name in names:
        by_file[name.rpartition("/")[2]].append(name)
    matched: dict[str, str] = {}
    key_of: dict[str, str] = {}
    for key in keys:
        found = _match(stem(key), known, by_file)
        if found is None:
            continue
        if found in key_of:
            raise ImageError(f"{path}: the keypoints of {found} fit both {key_of[found]} and {key}. Name them by path.")
        matched[key], key_of[found] = found, key
    return matched


def _match(key: str, known: Set[str], by_file: Mapping[str, list[str]]) -> str | None:
    file = key.rpartition("/")[2]
    if key in known:
        return key
    candidates = by_file.get(file, [])
    if not candidates and file.isdecimal():  # COCO's results name 000000000139.jpg by its number
        candidates = by_file.get(str(int(file)), [])
    ends = [name for name in candidates if name.endswith(f"/{key}") or key.endswith(f"/{name}")]
    candidates = ends or candidates
    return candidates[0] if len(candidates) == 1 else None


def find_mask(folder: Path, key: str) -> Path:
    """Return the mask of an image, at its path in the folder or by its name. Raises ImageError if there is none."""
    relative = Path(key).with_suffix(MASK_SUFFIX)
    for path in (folder / relative, folder / relative.name):
        if path.is_file():
            return path
    raise ImageError(f"{folder} has no mask for {key}: expected {relative}. Add it, or leave out --masks.")


def read_mask(path: Path, record: Record) -> np.ndarray:
    """Return a mask (H, W), 1.0 for the person and 0.0 for the background.

    Raises ImageError if it cannot be read, or has another size than the image.
    """
    values = images.read(path).max(axis=2)  # (H, W, 3) -> (H, W)
    if values.shape != (record.height, record.width):
        height, width = values.shape
        raise ImageError(
            f"{path} is {width}x{height}, but its image {record.key} is {record.width}x{record.height}. "
            "Make the mask again from this image."
        )
    return np.asarray((values >= (1 if values.max() == 1 else INSIDE)).astype(np.float64))
