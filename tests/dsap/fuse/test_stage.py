"""The stage: corrected and weighted maps, resumed and in any number of workers the same bytes, and refusals."""

import csv
import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from dsa_app.errors import ConfigError, DatasetError, ImageError, StoreError
from dsa_data import images
from dsa_data.records import Record, read_manifest, write_manifest
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, IuvStore, write_iuv
from dsa_data.stores.surfaces import SurfaceStore
from dsa_data.synthetic import shots
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render
from dsap.fuse import piece, stage
from dsap.fuse.config import FuseConfig
from dsap.fuse.exchange import LIMBS, exchanged
from dsap.fuse.person import Evidence
from dsap.fuse.stage import changed_map, fuse_all
from dsap.fuse.turns import Turn
from dsap_cases import Case

CONFIG = FuseConfig(size=16)


@pytest.fixture(scope="module")
def rendered() -> list[tuple[shots.Shot, np.ndarray, np.ndarray]]:
    settings = SynthConfig(
        seed=3, train_identities=3, train_pictures=3, test_identities=2, queries=1, gallery=2, distractors=0, junk=0
    )
    groups = shots.plan(settings)
    return [(shot, *render(shots.scene_of(settings, shot))) for group in groups for shot in group]


@pytest.fixture
def case(rendered: list[tuple[shots.Shot, np.ndarray, np.ndarray]], tmp_path: Path) -> Case:
    """Rendered people on disk with their true maps, of which the first has its legs exchanged."""
    root = tmp_path / "images"
    records, maps = [], []
    for shot, image, iuv in sorted(rendered, key=lambda one: one[0].key):
        path = images.write_png((root / shot.key).with_suffix(".png"), image)
        key = path.relative_to(root).as_posix()
        split = {"bounding_box_train": "train", "query": "query"}.get(shot.folder, "gallery")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        records.append(Record(key, split, shot.pid, shot.camid, image.shape[1], image.shape[0], digest))
        box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        maps.append(IuvMap(iuv, 0.9, box, "found", digest, digest))
    first = next(n for n, record in enumerate(records) if record.split == "train")
    maps[first] = dataclasses.replace(maps[first], iuv=exchanged(maps[first].iuv, "legs"))
    made = Case(tmp_path, root)
    write_manifest(records, made.manifest)
    made.write_maps(Header("synthetic", {"engine": "rendered"}, "ab" * 32), [record.key for record in records], maps)
    return made


def run(case: Case, config: FuseConfig = CONFIG, out: str = "fused.h5", **given: object) -> stage.Outcome:
    return fuse_all(case.manifest, case.iuv, case.folder / out, config, case.root, **given)  # type: ignore[arg-type]


def content(outcome: stage.Outcome) -> list[bytes]:
    return [path.read_bytes() for path in (outcome.maps, outcome.surfaces, outcome.report)]


def test_maps_surfaces_and_report_agree(case: Case) -> None:
    outcome = run(case)
    records = read_manifest(case.manifest)
    rows = list(csv.DictReader(outcome.report.open()))
    assert [row["key"] for row in rows[::2]] == sorted(record.key for record in records)
    assert outcome.exchanged == {
        limbs: sum(r["exchanged"] == "1" for r in rows if r["limbs"] == limbs) for limbs in LIMBS
    }
    with IuvStore(case.iuv) as before, IuvStore(outcome.maps) as after, SurfaceStore(outcome.surfaces) as surfaces:
        assert after.keys == before.keys
        assert after.header.configuration["fuse"]["size"] == 16
        for n, key in enumerate(before.keys):
            expected = before.read(n)
            for row in rows:
                if row["key"] == key and row["exchanged"] == "1":
                    expected = dataclasses.replace(expected, iuv=exchanged(expected.iuv, row["limbs"]))
            found = after.read(n)
            assert (found.iuv == expected.iuv).all()
            assert (found.score, found.status, found.digest) == (expected.score, expected.status, expected.digest)
        assert surfaces.keys == [f"{pid:04d}" for pid in sorted({r.pid for r in records if r.split == "train"})]
        assert surfaces.read(0).count.max() <= 3
        assert surfaces.read(0).count.any()


def test_only_the_split_is_compared_with_other_images(case: Case) -> None:
    rows = list(csv.DictReader(run(case).report.open()))
    splits = {record.key: record.split for record in read_manifest(case.manifest)}
    of_train = [float(row["nearer"]) for row in rows if splits[row["key"]] == "train"]
    assert any(of_train)
    assert not any(float(row["nearer"]) for row in rows if splits[row["key"]] != "train")


def test_identities_of_other_splits_are_not_used(case: Case) -> None:
    before = content(run(case))
    records = [
        record if record.split == "train" else dataclasses.replace(record, pid=7777)
        for record in read_manifest(case.manifest)
    ]
    write_manifest(records, case.manifest)
    assert content(run(case, out="fused2.h5"))[1:] == before[1:]


def test_any_number_of_workers_gives_the_same_bytes(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "TOGETHER", 1)
    alone = content(run(case))
    assert content(run(case, out="two.h5", jobs=2)) == alone
    monkeypatch.setattr(stage, "TOGETHER", 100)
    assert content(run(case, out="one_piece.h5")) == alone


def test_an_interrupted_run_is_resumed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "TOGETHER", 1)
    whole = content(run(case, out="whole.h5"))
    made: list[str] = []
    real = piece.fuse

    def fails(*given: object) -> object:
        made.append("")
        if len(made) == 3:
            raise KeyboardInterrupt
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(piece, "fuse", fails)
    with pytest.raises(KeyboardInterrupt):
        run(case)
    assert not (case.folder / "fused.h5").exists()
    assert len(list((case.folder / "fused.h5.pieces").glob("*.npz"))) == 2
    resumed = run(case)
    assert len(made) == 4  # two of the three persons were kept
    assert content(resumed) == whole
    assert not (case.folder / "fused.h5.pieces").exists()


def test_up_to_date_files_are_not_made_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    first = content(run(case))
    monkeypatch.setattr(stage, "_fuse_all", None)
    again = run(case)
    assert not again.changed
    assert content(again) == first
    with pytest.raises(StoreError, match=r"was made with other settings: .*fuse\.size"):
        run(case, FuseConfig(size=8))


def test_a_changed_label_makes_the_surfaces_again(case: Case) -> None:
    run(case)
    records = read_manifest(case.manifest)
    pids = sorted({record.pid for record in records if record.split == "train"})
    merged = [dataclasses.replace(r, pid=pids[0]) if r.pid == pids[1] else r for r in records]
    write_manifest(merged, case.manifest)
    outcome = run(case)
    assert outcome.changed
    assert outcome.persons == len(pids) - 1


def test_tracks_and_parts_of_many_images(case: Case) -> None:
    records = [record for record in read_manifest(case.manifest) if record.split == "train"]
    with SurfaceStore(run(case, FuseConfig(size=8, group="track"), "tracks.h5").surfaces) as surfaces:
        assert surfaces.keys == sorted({f"{record.pid:04d}/c{record.camid}" for record in records})
    with SurfaceStore(run(case, FuseConfig(size=8, most=2), "parts.h5").surfaces) as surfaces:
        assert surfaces.keys[:2] == [f"{records[0].pid:04d}/1", f"{records[0].pid:04d}/2"]
        assert surfaces.read(0).count.max() <= 2


def test_weights_lower_the_confidence_and_leave_the_map(case: Case) -> None:
    outcome = run(case, FuseConfig(size=16, action="weight"))
    probability = {
        (row["key"], row["limbs"]): float(row["probability"]) for row in csv.DictReader(outcome.report.open())
    }
    with IuvStore(case.iuv) as before, IuvStore(outcome.maps) as after:
        assert after.confidence == "pixels"
        for n, key in enumerate(before.keys):
            want, found = before.read(n), after.read(n)
            assert (found.iuv == want.iuv).all()
            assert found.confidence is not None
            for limbs, charts in LIMBS.items():
                ours = found.confidence[np.isin(found.iuv[..., 0], charts)]
                assert np.abs(ours - 255.0 * (1 - probability[key, limbs])).max(initial=0) <= 0.6
            assert (found.confidence[np.isin(found.iuv[..., 0], (1, 2))] == 255).all()


def test_corrected_maps_with_a_confidence_state_what_is_left_of_the_doubt() -> None:
    iuv = np.zeros((1, 3, 3), np.uint8)
    iuv[0, :, 0] = [1, 15, 8]
    fine = np.full((1, 3, 2), 1000, np.uint16)
    one = IuvMap(iuv, 1.0, np.zeros(4), "found", "0f" * 32, "f0" * 32, fine, np.array([[200, 200, 100]], np.uint8), 0.5)
    found = {"arms": Evidence(0, 0, 0, 0.9), "legs": Evidence(0, 0, 0, 0.2)}
    made = changed_map(one, found, None, "correct")
    assert made.iuv[0].tolist() == [[1, 0, 0], [16, 0, 255], [8, 0, 0]]
    assert made.fine is not None
    assert made.fine[0].tolist() == [[1000, 1000], [1000, 64535], [1000, 1000]]
    assert made.confidence is not None
    assert made.confidence.tolist() == [[200, 180, 80]]
    weighted = changed_map(dataclasses.replace(one, confidence=None), found, None, "weight")
    assert weighted.confidence is not None
    assert weighted.confidence.tolist() == [[128, 13, 102]]
    assert (weighted.iuv == iuv).all()
    assert made.batch_digest != one.batch_digest


def test_a_turned_map_is_turned_back_before_its_limbs_are_exchanged() -> None:
    iuv = np.array([[[0, 0, 0], [1, 10, 20], [19, 30, 40], [8, 50, 60]]], np.uint8)
    fine = np.array([[[0, 0], [2600, 5200], [7800, 10400], [12900, 15500]]], np.uint16)
    confidence = np.full((1, 4), 200, np.uint8)
    one = IuvMap(iuv, 1.0, np.zeros(4), "found", "0f" * 32, "f0" * 32, fine, confidence, 0.5)
    found = {"arms": Evidence(0, 0, 0, 0.9), "legs": Evidence(0, 0, 0, 0.2)}
    made = changed_map(one, found, Turn(0, 0, 0, 0.75), "correct")
    assert made.iuv[0].tolist() == [[0, 0, 0], [2, 10, 235], [19, 30, 40], [9, 50, 195]]
    assert made.fine is not None
    assert made.fine[0].tolist() == [[0, 0], [2600, 60335], [7800, 10400], [12900, 50035]]
    assert made.confidence is not None
    assert made.confidence.tolist() == [[200, 150, 135, 120]]
    weighted = changed_map(one, found, Turn(0, 0, 0, 0.75), "weight")
    assert (weighted.iuv == iuv).all()
    assert weighted.confidence is not None
    assert weighted.confidence.tolist() == [[200, 50, 5, 40]]
    kept = changed_map(one, found, Turn(0, 0, 0, 0.5), "correct")
    assert kept.iuv[0, 1].tolist() == [1, 10, 20]
    assert kept.batch_digest != made.batch_digest != changed_map(one, found, None, "correct").batch_digest


def test_turned_maps_are_looked_for_on_request_alone(case: Case) -> None:
    before = run(case, out="plain.h5")
    assert before.turned is None
    rows = list(csv.DictReader(before.report.open()))
    assert list(rows[0]) == list(stage.COLUMNS)
    with IuvStore(before.maps) as store:
        assert "turned" not in store.header.configuration["fuse"]  # as in the files of older versions
    config = FuseConfig(size=16, turned=0.05)
    outcome = run(case, config)
    rows = list(csv.DictReader(outcome.report.open()))
    assert list(rows[0]) == [*stage.COLUMNS, *stage.TURN_COLUMNS]
    assert outcome.turned == sum(row["turned"] == "1" for row in rows[::2])
    splits = {record.key: record.split for record in read_manifest(case.manifest)}
    alone = [row for row in rows if splits[row["key"]] != "train"]
    assert {row["turned_probability"] for row in alone} == {"0.0500"}
    assert any(float(row["turned_head"]) for row in rows if splits[row["key"]] == "train")
    with pytest.raises(StoreError, match=r"was made with other settings: .*fuse\.turned"):
        run(case, config, "plain.h5")
    with IuvStore(case.iuv) as maps, IuvStore(outcome.maps) as after:
        for row in rows:
            index = maps.index(row["key"])
            if row["turned"] == "0" and row["exchanged"] == "0":
                limbs = np.isin(maps.read(index).iuv[..., 0], LIMBS[row["limbs"]])
                assert (after.read(index).iuv[limbs] == maps.read(index).iuv[limbs]).all()


def test_turned_maps_have_the_same_bytes_for_any_number_of_workers(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    config = FuseConfig(size=16, turned=0.4)
    monkeypatch.setattr(stage, "TOGETHER", 1)
    alone = content(run(case, config))
    monkeypatch.setattr(stage, "TOGETHER", 100)
    assert content(run(case, config, out="one_piece.h5")) == alone


def test_maps_of_i_alone_are_refused(case: Case) -> None:
    with IuvStore(case.iuv) as store:
        maps = [store.read(n) for n in range(len(store))]
        header, keys, shapes = store.header, store.keys, store.shapes
    plain = [dataclasses.replace(one, iuv=one.iuv * np.array([1, 0, 0], np.uint8), has_uv=False) for one in maps]
    write_iuv(case.iuv, header, keys, shapes, plain, bits=0)
    with pytest.raises(ConfigError, match="maps of I alone, and dsap fuse needs u and v"):
        run(case)


def test_a_split_without_images_and_a_changed_image_are_named(case: Case) -> None:
    with pytest.raises(DatasetError, match="the split 'trained' is empty"):
        run(case, FuseConfig(split="trained"))
    first = next(record for record in read_manifest(case.manifest) if record.split == "train")
    images.write_png(case.root / first.key, np.zeros((first.height, first.width, 3), np.uint8))
    with pytest.raises(ImageError, match=f"{first.key} has changed since it was listed"):
        run(case)
