"""Files in which others keep COCO's 17 keypoints of people (or COCO-WholeBody's 133): read as one form.

- COCO: results (`image_id`, `keypoints`, `score`; also AlphaPose's, whose image_id is a name) or annotations (`images`,
  `annotations`). ViTPose and RTMPose write results by mmpose's `test.py`.
- mmpose's inferencer: a JSON file an image, a list of people with `keypoints` and `keypoint_scores`.
- Ultralytics YOLO: a text file an image (`save_txt`), or a JSON file an image (`to_json`).
- BoxMOT: a folder with `metadata.json`, whose `images` have `keypoints` in shares of the image, and a `person_mask`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import ImageError
from dsa_app.guard import guarded
from dsa_data.walk import files_below

from .coco import KEYPOINTS

BOXMOT = "metadata.json"
FLAGS = np.array([0.0, 0.5, 1.0])  # scores for COCO's flags of annotated keypoints: unknown, hidden, visible
FORMS = (
    "expected COCO results or annotations, a folder of mmpose's or YOLO's files, or BoxMOT's folder with metadata.json"
)
WHOLE_BODY = 133  # keypoints of COCO-WholeBody, of which the first are COCO's
YOLO_START = 5  # numbers of a line before the keypoints: class, and the box


@dataclass(frozen=True)
class Person:
    """The keypoints of one person.

    Attributes:
        image: the image's name or path without its ending, or its number, as the file has it.
        keypoints: float64 (17, 3), x, y and score in 0..1.
        score: of the detection, NaN if unknown.
        shares: whether x and y are in shares of the image's width and height, not in pixels.
        mask: path of the person's mask; None if there is none.
    """

    image: str
    keypoints: NDArray[np.float64]
    score: float
    shares: bool = False
    mask: Path | None = None


def read_people(path: Path) -> list[Person]:
    """Return the people in a file, or in the files of a folder. Raises ImageError for a file of none of the forms."""
    if path.is_file():
        return list(_of_file(path))
    if not path.is_dir():
        raise ImageError(f"{path} is neither a file nor a folder: {FORMS}.")
    if (path / BOXMOT).is_file():
        return list(_of_boxmot(path / BOXMOT))
    people = []
    for name in sorted(files_below(path)):
        if (reader := _READERS.get(PurePosixPath(name).suffix.lower())) is not None:
            people += list(reader(path / name, stem(name)))
    if not people:
        raise ImageError(f"{path} has no keypoints: {FORMS}.")
    return people


def stem(name: str) -> str:
    """Return a path without the ending of its file."""
    return PurePosixPath(name).with_suffix("").as_posix()


def _of_file(path: Path) -> Iterator[Person]:
    """Yield the people of one JSON file of many images."""
    content = _json(path)
    with guarded(ImageError, path, "has no keypoints that can be read", f"It is a JSON file; {FORMS}."):
        if isinstance(content, list):
            yield from (_of_result(entry) for entry in content)
        elif isinstance(content, dict) and "annotations" in content:
            yield from _of_annotations(content)
        elif isinstance(content, dict) and isinstance(content.get("images"), dict):
            yield from _of_boxmot(path)
        else:
            raise ValueError("neither a list of results nor annotations")


def _of_result(entry: Mapping[str, Any]) -> Person:
    """Return the person of one entry of COCO's results."""
    image = entry.get("file_name", entry["image_id"])
    name = stem(image) if isinstance(image, str) else str(int(image))
    return Person(name, _triples(entry["keypoints"]), float(entry.get("score", np.nan)))


def _of_annotations(content: Mapping[str, Any]) -> Iterator[Person]:
    """Yield the people of COCO's annotations, whose keypoints have flags in place of scores."""
    names = {image["id"]: stem(image["file_name"]) for image in content["images"]}
    for entry in content["annotations"]:
        if not entry.get("keypoints"):
            continue
        keypoints = _triples(entry["keypoints"])
        flags = keypoints[:, 2]
        if "score" not in entry and np.isin(flags, (0, 1, 2)).all():
            keypoints[:, 2] = FLAGS[flags.astype(int)]
        yield Person(names[entry["image_id"]], keypoints, float(entry.get("score", np.nan)))


def _of_boxmot(path: Path) -> Iterator[Person]:
    """Yield the people of BoxMOT's metadata; images without 17 keypoints have none."""
    content = _json(path)
    with guarded(ImageError, path, "is not BoxMOT's metadata", f"Otherwise {FORMS}."):
        for name, entry in content["images"].items():
            keypoints = np.asarray(entry.get("keypoints", ()), np.float64)
            if keypoints.shape != (KEYPOINTS, 3):
                continue
            mask = entry.get("person_mask")
            yield Person(stem(name), keypoints, np.nan, True, path.parent / mask if mask else None)


def _of_json(path: Path, image: str) -> Iterator[Person]:
    """Yield the people of the JSON file of one image, mmpose's or YOLO's."""
    content = _json(path)
    with guarded(ImageError, path, "has no keypoints that can be read", f"It is the JSON file of an image; {FORMS}."):
        if isinstance(content, dict):
            content = content["instance_info"]  # of mmpose's demo
        for entry in content:
            keypoints = entry["keypoints"]
            if isinstance(keypoints, dict):
                columns = [keypoints["x"], keypoints["y"], keypoints.get("visible", np.ones(len(keypoints["x"])))]
                values = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
                shares = bool(values[:, :2].max() <= 1)
                yield Person(image, _checked(values), float(entry.get("confidence", np.nan)), shares)
            else:
                points, scores = np.asarray(keypoints, np.float64), np.asarray(entry["keypoint_scores"], np.float64)
                values = np.column_stack([points[:, :2], scores])
                yield Person(image, _checked(values), float(entry.get("bbox_score", np.nan)))


def _of_text(path: Path, image: str) -> Iterator[Person]:
    """Yield the people of YOLO's text file of one image: class, box, keypoints, and the score if it was saved."""
    with guarded(ImageError, path, "is not YOLO's text file of 17 keypoints", f"Otherwise {FORMS}."):
        for line in path.read_text(encoding="utf-8").splitlines():
            values = [float(value) for value in line.split()][YOLO_START:]
            with_scores = len(values) >= 3 * KEYPOINTS
            count = KEYPOINTS * (3 if with_scores else 2)
            keypoints = np.array(values[:count], np.float64).reshape(KEYPOINTS, -1)
            if not with_scores:
                keypoints = np.column_stack([keypoints, (keypoints > 0).any(axis=1)])  # 0, 0 is an unknown keypoint
            yield Person(image, _checked(keypoints), values[count] if len(values) > count else np.nan, True)


def _json(path: Path) -> Any:
    with guarded(ImageError, path, "is not a JSON file", f"For keypoints {FORMS}."):
        return json.loads(path.read_text(encoding="utf-8"))


def _triples(values: Any) -> NDArray[np.float64]:
    return _checked(np.array(values, np.float64).reshape(-1, 3))


def _checked(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return keypoints (17, 3): all, or the first 17 of COCO-WholeBody's 133.

    Raises ValueError for another number, or for values that are no numbers.
    """
    if keypoints.shape == (WHOLE_BODY, 3):
        keypoints = keypoints[:KEYPOINTS]
    if keypoints.shape != (KEYPOINTS, 3):
        raise ValueError(f"a person has {len(keypoints)} keypoints, expected COCO's {KEYPOINTS}")
    if not np.isfinite(keypoints).all():
        raise ValueError("a keypoint is not a number")
    return keypoints


_READERS: dict[str, Callable[[Path, str], Iterator[Person]]] = {".json": _of_json, ".txt": _of_text}
