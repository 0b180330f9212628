"""The `keypoints` engine: matched by name, with and without masks, to a store."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from densepose_extract import stage
from densepose_extract.engines.keypoints import Keypoints, match_names
from densepose_extract.target import folder_entries
from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.records import Record, index, read_manifest, write_manifest
from dsa_data.stores.iuv import IuvStore
from rendered_people import agreement, rendered_people

PEOPLE = rendered_people(10)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "market1501" / "bounding_box_train"
    folder.mkdir(parents=True)
    for number, person in enumerate(PEOPLE):
        images.write_png(folder / f"{name_of(number)}.png", person.image)
        mask = np.repeat((255 * person.mask).astype(np.uint8)[..., None], 3, axis=2)
        path = tmp_path / "masks" / "bounding_box_train" / f"{name_of(number)}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        images.write_png(path, mask)
    return folder.parents[0]


@pytest.fixture
def manifest(root: Path) -> Path:
    return write_manifest(index(root, folder_entries(root)), root.with_name("manifest.csv"))


def name_of(index: int) -> str:
    return f"0001_c1s1_{index:06d}_00"


def results(path: Path, numbers: Sequence[int] = range(10), others: Sequence[dict] = ()) -> Path:
    """Write COCO results of the people, by file name."""
    entries = [
        {
            "image_id": f"{name_of(n)}.png",
            "category_id": 1,
            "keypoints": PEOPLE[n].keypoints.ravel().tolist(),
            "score": 0.9,
        }
        for n in numbers
    ]
    path.write_text(json.dumps([*entries, *others]))
    return path


def store_of(root: Path, manifest: Path, engine: Keypoints, name: str = "iuv.h5", jobs: int = 1) -> IuvStore:
    return IuvStore(stage.extract(manifest, root, root.with_name(name), "market1501", engine, jobs).path)


def test_with_masks(root: Path, manifest: Path, tmp_path: Path) -> None:
    records = read_manifest(manifest)
    store = store_of(root, manifest, Keypoints(results(tmp_path / "k.json"), records, tmp_path / "masks"))
    assert store.statuses == ["found"] * 10
    assert store.confidence == "pixels"
    assert store.scores.tolist() == pytest.approx([0.9] * 10)
    measured = np.mean([agreement(store.read(n).iuv, PEOPLE[n].iuv) for n in range(10)], axis=0)
    assert (measured > (0.95, 0.78, 0.83)).all(), measured
    assert store.header.configuration == {"engine": "keypoints", "version": 1, "confidence": "pixels"}


def test_without_masks_bodies_are_average(root: Path, manifest: Path, tmp_path: Path) -> None:
    store = store_of(root, manifest, Keypoints(results(tmp_path / "k.json"), read_manifest(manifest)))
    measured = np.mean([agreement(store.read(n).iuv, PEOPLE[n].iuv) for n in range(10)], axis=0)
    assert (measured > (0.72, 0.78, 0.83)).all(), measured


def test_the_same_bytes_by_any_number_of_processes(root: Path, manifest: Path, tmp_path: Path) -> None:
    engine = Keypoints(results(tmp_path / "k.json"), read_manifest(manifest), tmp_path / "masks")
    one, two = (store_of(root, manifest, engine, f"{jobs}.h5", jobs).path.read_bytes() for jobs in (1, 2))
    assert one == two


def test_only_maps_of_changed_keypoints_and_masks_are_made_again(root: Path, manifest: Path, tmp_path: Path) -> None:
    records = read_manifest(manifest)
    path = results(tmp_path / "k.json")

    def files() -> list[str]:
        engine = Keypoints(path, records, tmp_path / "masks")
        return [engine.find(record).digest for record in records]

    before = files()
    entries = json.loads(path.read_text())
    entries[2]["keypoints"][0] += 1
    path.write_text(json.dumps(entries))
    images.write_png(tmp_path / "masks" / "bounding_box_train" / f"{name_of(5)}.png", np.zeros((128, 64, 3), np.uint8))
    assert [index for index, pair in enumerate(zip(before, files(), strict=True)) if pair[0] != pair[1]] == [2, 5]


def test_missing_keypoints(root: Path, manifest: Path, tmp_path: Path) -> None:
    records = read_manifest(manifest)
    path = results(tmp_path / "k.json", range(8), [{"image_id": "other.png", "keypoints": [0.0] * 51, "score": 1}])
    with pytest.raises(
        ImageError, match=r"no keypoints for 2 of 10 images, first .*000008_00.*first other.*--allow-missing"
    ):
        Keypoints(path, records)
    engine = Keypoints(path, records, allow_missing=True)
    assert (engine.missing, engine.unused) == (2, ["other"])
    assert store_of(root, manifest, engine).statuses == ["found"] * 8 + ["none"] * 2


def test_a_person_without_a_trunk_is_not_found(root: Path, manifest: Path, tmp_path: Path) -> None:
    path = results(tmp_path / "k.json")
    entries = json.loads(path.read_text())
    entries[0]["keypoints"] = [0.0] * 51
    path.write_text(json.dumps(entries))
    store = store_of(root, manifest, Keypoints(path, read_manifest(manifest)))
    assert store.statuses == ["none"] + ["found"] * 9


def test_the_crops_own_person_is_chosen(root: Path, manifest: Path, tmp_path: Path) -> None:
    """Not the bystander at the edge with the better score."""
    bystander = PEOPLE[0].keypoints.copy()
    bystander[:, :2] = bystander[:, :2] / 3 + [50, 90]
    others = [{"image_id": f"{name_of(0)}.png", "keypoints": bystander.ravel().tolist(), "score": 1.0}]
    path = results(tmp_path / "k.json", others=others)
    record = read_manifest(manifest)[0]
    found = Keypoints(path, read_manifest(manifest)).find(record)
    assert found.keypoints is not None
    assert np.allclose(found.keypoints, PEOPLE[0].keypoints)


def test_keypoints_in_shares_of_the_image(root: Path, manifest: Path, tmp_path: Path) -> None:
    """BoxMOT's cache with its own masks: the same maps as COCO's results with masks."""
    size = np.array([64, 128, 1.0])
    entries = {
        f"bounding_box_train/{name_of(n)}.png": {
            "keypoints": (PEOPLE[n].keypoints / size).tolist(),
            "person_mask": f"masks/bounding_box_train/{name_of(n)}.png",
        }
        for n in range(10)
    }
    (tmp_path / "metadata.json").write_text(json.dumps({"images": entries}))
    records = read_manifest(manifest)
    ours = store_of(root, manifest, Keypoints(tmp_path, records), "boxmot.h5")
    theirs = store_of(root, manifest, Keypoints(results(tmp_path / "k.json"), records, tmp_path / "masks"), "coco.h5")
    for n in range(10):
        assert np.mean(ours.read(n).iuv == theirs.read(n).iuv) > 0.999


def test_masks_that_are_missing_or_of_another_size(root: Path, manifest: Path, tmp_path: Path) -> None:
    records = read_manifest(manifest)
    engine = Keypoints(results(tmp_path / "k.json"), records, tmp_path / "masks")
    mask = tmp_path / "masks" / "bounding_box_train" / f"{name_of(0)}.png"
    images.write_png(mask, np.ones((12, 6, 3), np.uint8))
    with pytest.raises(ImageError, match=r"is 6x12, but its image .* is 64x128"):
        engine.find(records[0]).read(records[0])
    mask.unlink()
    with pytest.raises(ImageError, match=r"has no mask for bounding_box_train/.*leave out --masks"):
        engine.find(records[0])


def test_masks_of_zero_and_one(root: Path, manifest: Path, tmp_path: Path) -> None:
    records = read_manifest(manifest)
    engine = Keypoints(results(tmp_path / "k.json"), records, tmp_path / "masks")
    before = engine.find(records[1]).read(records[1]).iuv
    mask = np.repeat(PEOPLE[1].mask.astype(np.uint8)[..., None], 3, axis=2)
    images.write_png(tmp_path / "masks" / "bounding_box_train" / f"{name_of(1)}.png", mask)
    assert np.array_equal(engine.find(records[1]).read(records[1]).iuv, before)


def test_names_match_by_path_by_file_and_by_number() -> None:
    def matched(names: list[str], *keys: str) -> dict[str, str]:
        return match_names(Path("k"), names, keys)

    assert matched(["a/1", "b/1"], "a/1.jpg", "b/1.jpg") == {"a/1.jpg": "a/1", "b/1.jpg": "b/1"}
    assert matched(["1"], "a/1.jpg") == {"a/1.jpg": "1"}
    assert matched(["139"], "val/000000000139.jpg") == {"val/000000000139.jpg": "139"}
    assert matched(["root/a/1", "root/b/1"], "b/1.jpg") == {"b/1.jpg": "root/b/1"}
    assert matched(["x/1", "y/1"], "a/1.jpg") == {}  # ambiguous
    with pytest.raises(ImageError, match=r"fit both a/1\.jpg and b/1\.jpg"):
        matched(["1"], "a/1.jpg", "b/1.jpg")


def test_records_of_other_sizes_scale_shares(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("0 .5 .5 1 1 " + "0.5 0.25 0.9 " * 17)
    record = Record("1.jpg", "all", 0, 0, 200, 400, "0" * 64)
    keypoints = Keypoints(tmp_path, [record]).find(record).keypoints
    assert keypoints is not None
    assert keypoints[0].tolist() == [100, 100, 0.9]
