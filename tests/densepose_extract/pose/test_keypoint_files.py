"""Files of keypoints in the forms that others write: COCO, AlphaPose, mmpose, Ultralytics YOLO, BoxMOT."""

import json
from pathlib import Path

import numpy as np
import pytest

from densepose_extract.pose.keypoint_files import read_people
from dsa_app.errors import ImageError

POINTS = np.column_stack([np.arange(17) * 3.0 + 1, np.arange(17) * 7.0 + 2, np.linspace(0.5, 0.9, 17)])  # 64x128
SIZE = np.array([64, 128, 1.0])


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def flat(points: np.ndarray = POINTS) -> list[float]:
    return [float(value) for value in points.ravel()]


def yolo_line(columns: int, *after: float) -> str:
    shares = POINTS / SIZE
    return " ".join(f"{value:.9g}" for value in [0, 0.5, 0.5, 0.9, 0.9, *shares[:, :columns].ravel(), *after])


def test_results_of_coco_by_number_and_of_alphapose_by_name(tmp_path: Path) -> None:
    entries = [
        {"image_id": 139, "category_id": 1, "keypoints": flat(), "score": 0.8},
        {"image_id": "a/1.jpg", "category_id": 1, "keypoints": flat(), "score": 2.5, "box": [0, 0, 1, 1]},
    ]
    first, second = read_people(write(tmp_path / "results.json", entries))
    assert (first.image, first.score, first.shares) == ("139", 0.8, False)
    assert (second.image, second.score) == ("a/1", 2.5)
    assert np.array_equal(first.keypoints, POINTS)


def test_the_body_is_taken_of_whole_bodies(tmp_path: Path) -> None:
    whole = np.concatenate([POINTS, np.full((116, 3), 0.5)])
    (person,) = read_people(write(tmp_path / "k.json", [{"image_id": 1, "keypoints": flat(whole), "score": 1}]))
    assert np.array_equal(person.keypoints, POINTS)


def test_annotations_of_coco_have_flags(tmp_path: Path) -> None:
    flags = POINTS.copy()
    flags[:, 2] = [0, 1, 2] * 5 + [2, 2]
    content = {
        "images": [{"id": 5, "file_name": "x/5.jpg"}],
        "annotations": [{"image_id": 5, "keypoints": flat(flags)}, {"image_id": 5, "bbox": [0, 0, 1, 1]}],
    }
    (person,) = read_people(write(tmp_path / "a.json", content))
    assert person.image == "x/5"
    assert np.isnan(person.score)
    assert person.keypoints[:3, 2].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("wrapped", [False, True], ids=["inferencer", "demo"])
def test_predictions_of_mmpose(tmp_path: Path, wrapped: bool) -> None:
    person = {
        "keypoints": POINTS[:, :2].tolist(),
        "keypoint_scores": POINTS[:, 2].tolist(),
        "bbox": [[1, 2, 60, 120]],  # a list in a list: mmpose's `split_instances` writes a tuple of one box
        "bbox_score": 0.75,
    }
    write(tmp_path / "sub" / "0001.json", {"meta_info": {}, "instance_info": [person]} if wrapped else [person, person])
    people = read_people(tmp_path)
    assert len(people) == (1 if wrapped else 2)
    assert people[0].image == "sub/0001"
    assert people[0].score == 0.75
    assert np.array_equal(people[0].keypoints, POINTS)


@pytest.mark.parametrize(
    ("columns", "after", "score"), [(3, (), None), (3, (0.7,), 0.7), (3, (0.7, 4), 0.7), (2, (), None)]
)
def test_text_files_of_yolo(tmp_path: Path, columns: int, after: tuple[float, ...], score: float | None) -> None:
    write(tmp_path / "labels" / "7.txt", yolo_line(columns, *after) + "\n" + yolo_line(columns, *after) + "\n")
    people = read_people(tmp_path / "labels")
    assert [person.image for person in people] == ["7", "7"]
    assert people[0].shares
    assert np.allclose(people[0].keypoints[:, :2], (POINTS / SIZE)[:, :2], atol=1e-6)
    assert np.isnan(people[0].score) if score is None else people[0].score == score
    assert (people[0].keypoints[:, 2] == 1).all() if columns == 2 else True


@pytest.mark.parametrize("normalised", [False, True])
def test_json_of_yolo(tmp_path: Path, normalised: bool) -> None:
    points = POINTS / SIZE if normalised else POINTS
    entry = {
        "name": "person", "class": 0, "confidence": 0.6, "box": {"x1": 0, "y1": 0, "x2": 1, "y2": 1},
        "keypoints": {"x": points[:, 0].tolist(), "y": points[:, 1].tolist(), "visible": points[:, 2].tolist()},
    }  # fmt: skip
    (person,) = read_people(write(tmp_path / "9.json", [entry]).parent)
    assert (person.image, person.score, person.shares) == ("9", 0.6, normalised)
    assert np.allclose(person.keypoints, points)


def test_the_folder_of_boxmot(tmp_path: Path) -> None:
    content = {
        "images": {
            "train/1.jpg": {"keypoints": (POINTS / SIZE).tolist(), "person_mask": "masks/1.png"},
            "train/2.jpg": {"keypoints": []},
        }
    }
    write(tmp_path / "metadata.json", content)
    for path in (tmp_path, tmp_path / "metadata.json"):
        (person,) = read_people(path)
        assert person.image == "train/1"
        assert person.shares
        assert person.mask == tmp_path / "masks" / "1.png"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not a JSON file"),
        ({"something": []}, "neither a list of results nor annotations"),
        ([{"image_id": 1, "keypoints": [1, 2, 0.5] * 26}], "26 keypoints, expected COCO's 17"),
        ([{"image_id": 1, "keypoints": [1, 2] * 17}], "keypoints"),
        ([{"keypoints": [1, 2, 0.5] * 17}], "image_id"),
        ([{"image_id": 1, "keypoints": [float("nan"), 2, 0.5] * 17}], "not a number"),
    ],
)
def test_files_of_another_form_are_refused_in_one_line(tmp_path: Path, content: object, problem: str) -> None:
    path = write(tmp_path / "k.json", content)
    with pytest.raises(ImageError, match=problem) as caught:
        read_people(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_folders_without_keypoints_and_paths_that_are_missing(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="has no keypoints"):
        read_people(tmp_path)
    with pytest.raises(ImageError, match="neither a file nor a folder"):
        read_people(tmp_path / "missing")
    write(tmp_path / "1.txt", "0 0.5 0.5")
    with pytest.raises(ImageError, match=r"1\.txt is not YOLO's text file"):
        read_people(tmp_path)
