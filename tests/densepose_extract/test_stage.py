"""The stage: the same bytes on every path to them, nothing made twice, nothing replaced without --overwrite."""

import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from batches import BatchEngine
from densepose_extract import plan as plans
from densepose_extract import stage
from densepose_extract.config import EstimatorErrors
from densepose_extract.engines.engine import identity_of_content
from densepose_extract.engines.maps import MapFile
from densepose_extract.engines.rendered import Rendered
from dsa_app.errors import BusyError, DatasetError, ImageError, StoreError
from dsa_data import images
from dsa_data.records import Record, read_manifest, write_manifest
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.pieces import Pieces
from tiny import list_images, random_iuv, write_iuv_image, write_true_maps


@pytest.fixture
def root(market: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny dataset with its true maps; batches of four."""
    monkeypatch.setattr(plans, "MAPS", 4)
    write_true_maps(market)
    return market


@pytest.fixture
def manifest(root: Path, tmp_path: Path) -> Path:
    return list_images(root, tmp_path / "manifest.csv")


def true_map(root: Path, key: str) -> Path:
    return root / "iuv" / f"{Path(key).with_suffix('')}_IUV.png"


def test_every_map_is_the_true_one(root: Path, manifest: Path, tmp_path: Path) -> None:
    engine = Rendered(root, EstimatorErrors(rate=0))
    outcome = stage.extract(manifest, root, tmp_path / "iuv.h5", "tiny", engine)
    store = IuvStore(outcome.path)
    records = read_manifest(manifest)
    assert store.keys == [record.key for record in records]
    assert (store.header.dataset, store.header.configuration) == ("tiny", engine.identity)
    for index, record in enumerate(records):
        iuv_map = store.read(index)
        assert (iuv_map.iuv == images.read(true_map(root, record.key))).all()
        assert (iuv_map.status, iuv_map.score) == (("found", 1.0) if index else ("none", 0.0))
        assert iuv_map.digest == record.digest
    assert (outcome.made, outcome.changed, outcome.skipped) == (len(records), True, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["iuv.h5", "manifest.csv", "market1501"]


def test_jobs_change_no_byte(root: Path, manifest: Path, tmp_path: Path) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        stage.extract(manifest, root, tmp_path / name, "tiny", Rendered(root), jobs)
        stage.extract(manifest, root, tmp_path / f"net{name}", "tiny", BatchEngine(), jobs)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "netone").read_bytes() == (tmp_path / "nettwo").read_bytes()


def test_up_to_date_is_left_alone(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", Rendered(root))
    before = out.stat()
    for overwrite in (False, True):
        outcome = stage.extract(manifest, root, out, "tiny", Rendered(root), overwrite=overwrite)
        assert not outcome.changed
    assert (out.stat().st_ino, out.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_only_what_changed_is_made_again(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", Rendered(root))
    write_iuv_image(true_map(root, read_manifest(manifest)[5].key), random_iuv(24, 12, 500))
    assert stage.extract(manifest, root, out, "tiny", Rendered(root)).made == 4  # one piece
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", Rendered(root))
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_images_are_added_and_removed(root: Path, manifest: Path, tmp_path: Path) -> None:
    out, records = tmp_path / "iuv.h5", read_manifest(manifest)
    write_manifest(records[:-3], manifest)
    stage.extract(manifest, root, out, "tiny", Rendered(root))
    write_manifest(records[2:], manifest)
    outcome = stage.extract(manifest, root, out, "tiny", Rendered(root))
    assert outcome.made < len(records) - 2
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", Rendered(root))
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_a_batch_is_made_again_as_a_whole(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    victim = root / read_manifest(manifest)[4].key
    victim.write_bytes(images.encode_jpeg(np.full((24, 12, 3), 90, np.uint8)))
    list_images(root, manifest)
    engine = BatchEngine(3)
    stage.extract(manifest, root, out, "tiny", engine)
    assert engine.seen == 3
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", BatchEngine(3))
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_swapped_images_do_not_keep_each_others_maps(root: Path, manifest: Path, tmp_path: Path) -> None:
    out, records = tmp_path / "iuv.h5", read_manifest(manifest)
    stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    one, other = root / records[0].key, root / records[1].key
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    list_images(root, manifest)
    stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", BatchEngine(3))
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_other_settings_are_refused(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    before = out.read_bytes()
    with pytest.raises(
        StoreError, match=r"iuv\.h5 was made with other settings: batch was 3, this run wants 4.*\n.*--o"
    ):
        stage.extract(manifest, root, out, "tiny", BatchEngine(4))
    with pytest.raises(StoreError, match="dataset was tiny, this run wants other"):
        stage.extract(manifest, root, out, "other", BatchEngine(3))
    assert out.read_bytes() == before
    stage.extract(manifest, root, out, "tiny", BatchEngine(4), overwrite=True)
    assert IuvStore(out).header.configuration["batch"] == 4


def test_other_errors_are_other_settings(root: Path, manifest: Path, tmp_path: Path) -> None:
    out, records = tmp_path / "iuv.h5", read_manifest(manifest)
    stage.extract(manifest, root, out, "tiny", Rendered(root))
    truth = Rendered(root, EstimatorErrors(rate=0))
    with pytest.raises(StoreError, match=r"other settings: errors\.rate was 1\.0, this run wants 0\.0"):
        stage.extract(manifest, root, out, "tiny", truth)
    assert stage.extract(manifest, root, out, "tiny", truth, overwrite=True).made == len(records)
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", truth)
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_a_damaged_store_is_replaced_with_overwrite(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", Rendered(root))
    whole = out.read_bytes()
    out.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match=r"iuv\.h5 is damaged.*--overwrite"):
        stage.extract(manifest, root, out, "tiny", Rendered(root))
    stage.extract(manifest, root, out, "tiny", Rendered(root), overwrite=True)
    assert out.read_bytes() == whole


def test_a_damaged_map_is_replaced_with_overwrite(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", Rendered(root))
    whole = out.read_bytes()
    checksum = bytes.fromhex(IuvStore(out).checksums[7])
    assert whole.count(checksum) == 1
    out.write_bytes(whole.replace(checksum, bytes(32)))
    assert stage.extract(manifest, root, out, "tiny", Rendered(root), overwrite=True).made == 4
    assert out.read_bytes() == whole


def test_a_run_resumes_where_it_stopped(root: Path, manifest: Path, tmp_path: Path) -> None:
    out, records = tmp_path / "iuv.h5", read_manifest(manifest)
    broken = true_map(root, records[9].key)
    kept = broken.read_bytes()
    engine = Rendered(root)
    broken.write_bytes(b"no image")  # its digest is part of the plan: the batches before it are the same
    with pytest.raises(ImageError, match=rf"{broken.name} does not decode"):
        stage.extract(manifest, root, out, "tiny", engine)
    assert not out.exists()
    broken.write_bytes(kept)
    assert stage.extract(manifest, root, out, "tiny", engine).made == len(records) - 8
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", engine)
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_pieces_of_other_settings(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    missing = root / read_manifest(manifest)[-1].key
    content = missing.read_bytes()
    missing.unlink()
    with pytest.raises(ImageError):
        stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    missing.write_bytes(content)
    with pytest.raises(StoreError, match="batch was 3, this run wants 4"):
        stage.extract(manifest, root, out, "tiny", BatchEngine(4))
    stage.extract(manifest, root, out, "tiny", BatchEngine(4), overwrite=True)
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", BatchEngine(4))
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_killed_before_its_pieces_were_deleted(root: Path, manifest: Path, tmp_path: Path) -> None:
    out, engine = tmp_path / "iuv.h5", BatchEngine(3)
    with Pieces(out, engine.identity) as left:
        left.write("one", values=np.arange(3))
    shutil.move(left.folder, tmp_path / "left")
    stage.extract(manifest, root, out, "tiny", engine)
    whole = out.read_bytes()
    shutil.move(tmp_path / "left", left.folder)
    assert not stage.extract(manifest, root, out, "tiny", engine).changed
    assert not left.folder.exists()
    assert out.read_bytes() == whole


def test_pieces_of_a_run_with_other_settings_are_kept(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    with Pieces(out, BatchEngine(4).identity) as left:
        left.write("one", values=np.arange(3))
    stage.extract(manifest, root, out, "tiny", BatchEngine(3))
    assert (left.folder / "one.npz").exists()


def test_two_runs_at_once(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    with Pieces(out, Rendered(root).identity), pytest.raises(BusyError, match=r"Another process is writing .*iuv\.h5"):
        stage.extract(manifest, root, out, "tiny", Rendered(root))


@pytest.mark.parametrize("engine", ["rendered", "network"])
def test_broken_images_are_skipped_recorded_and_tried_again(
    root: Path, manifest: Path, tmp_path: Path, engine: str
) -> None:
    out, records = tmp_path / "iuv.h5", read_manifest(manifest)
    maker = Rendered(root, EstimatorErrors(rate=0)) if engine == "rendered" else BatchEngine(4)
    broken = [root / records[index].key for index in (2, 9)]
    kept = [path.read_bytes() for path in broken]
    broken[0].write_bytes(b"")
    broken[1].unlink()
    with pytest.raises(ImageError, match=broken[0].name):
        stage.extract(manifest, root, out, "tiny", maker)
    outcome = stage.extract(manifest, root, out, "tiny", maker, skip_broken=True)
    assert set(outcome.skipped) == {records[2].key, records[9].key}
    assert f"{broken[1]} is missing" in outcome.skipped[records[9].key]
    assert IuvStore(out).statuses.count("none") == (3 if engine == "rendered" else 2)
    listed = tmp_path / "iuv.skipped.csv"
    assert records[2].key in listed.read_text()

    with pytest.raises(ImageError, match=broken[0].name):
        stage.extract(manifest, root, out, "tiny", maker)
    skipped = out.read_bytes()
    assert stage.extract(manifest, root, out, "tiny", maker, skip_broken=True).skipped == outcome.skipped
    assert out.read_bytes() == skipped
    for path, data in zip(broken, kept, strict=True):
        path.write_bytes(data)
    assert not stage.extract(manifest, root, out, "tiny", maker).skipped
    assert not listed.exists()
    stage.extract(manifest, root, tmp_path / "fresh.h5", "tiny", maker)
    assert out.read_bytes() == (tmp_path / "fresh.h5").read_bytes()


def test_a_full_disk(root: Path, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, engine = tmp_path / "iuv.h5", Rendered(root)
    written: list[str] = []
    write = Pieces.write

    def full(pieces: Pieces, name: str, **arrays: np.ndarray) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(out))
        written.append(name)
        write(pieces, name, **arrays)

    monkeypatch.setattr(Pieces, "write", full)
    with pytest.raises(OSError, match="No space left"):
        stage.extract(manifest, root, out, "tiny", engine)
    assert not out.exists()
    monkeypatch.setattr(Pieces, "write", write)
    assert stage.extract(manifest, root, out, "tiny", engine).made == len(read_manifest(manifest)) - 8


def test_an_empty_manifest(root: Path, manifest: Path, tmp_path: Path) -> None:
    write_manifest([], manifest)
    with pytest.raises(DatasetError, match=r"manifest\.csv lists no image"):
        stage.extract(manifest, root, tmp_path / "iuv.h5", "tiny", Rendered(root))


def test_the_share_of_a_process_is_fixed_in_advance(root: Path, manifest: Path, tmp_path: Path) -> None:
    """Two ranks, one after the other: the second uses the pieces of the first, and no map is made twice."""

    class Waiting(stage.ProcessGroup):
        def wait(self) -> None:
            """The other rank runs in the same process, before or after this one."""

    out, engine = tmp_path / "iuv.h5", BatchEngine(3)
    with Pieces(out, engine.identity):  # as the main process does before the others begin
        second = stage.extract(manifest, root, out, "tiny", engine, group=Waiting(1, 2))
    assert not out.exists()
    first = stage.extract(manifest, root, out, "tiny", engine, group=Waiting(0, 2))
    count = len(read_manifest(manifest))
    assert engine.seen == second.made + first.made == count
    assert abs(second.made - first.made) <= 3
    stage.extract(manifest, root, tmp_path / "alone.h5", "tiny", BatchEngine(3))
    assert out.read_bytes() == (tmp_path / "alone.h5").read_bytes()


class OfIAlone:
    """The true maps of a synthetic dataset without u and v, and a confidence for each image."""

    name = "alone"
    identity: ClassVar = {"engine": "alone", **identity_of_content(0, "images")}

    def __init__(self, root: Path) -> None:
        self.files = Rendered(root, EstimatorErrors(rate=0))

    def find(self, record: Record) -> MapFile:
        file = self.files.find(record)
        return MapFile(file.path, file.digest, score=1.0, bits=0, image_confidence=0.75)


def test_maps_of_i_alone_are_made_and_taken_over(root: Path, manifest: Path, tmp_path: Path) -> None:
    out = tmp_path / "iuv.h5"
    assert stage.extract(manifest, root, out, "tiny", OfIAlone(root)).made
    first = out.read_bytes()
    assert stage.extract(manifest, root, out, "tiny", OfIAlone(root)).made == 0
    keys = [record.key for record in read_manifest(manifest)]
    with IuvStore(out) as store:
        assert (store.version, store.bits, store.confidence) == (3, 0, "images")
        for index, key in enumerate(keys):
            read = store.read(index)
            true = images.read(true_map(root, key))
            assert (read.iuv[..., 0] == true[..., 0]).all()
            assert not read.iuv[..., 1:].any()
            assert np.isnan(read.image_confidence) != true.any()
    # One map changes: the others are taken over, and the bytes are those of a run from nothing.
    write_iuv_image(true_map(root, keys[5]), random_iuv(24, 12, 500))
    assert stage.extract(manifest, root, out, "tiny", OfIAlone(root)).made > 0
    changed = out.read_bytes()
    assert changed != first
    out.unlink()
    stage.extract(manifest, root, out, "tiny", OfIAlone(root))
    assert out.read_bytes() == changed


def test_confidences_survive_an_interruption(root: Path, manifest: Path, tmp_path: Path) -> None:
    engine = Rendered(root, EstimatorErrors(), confidence=True)
    whole = stage.extract(manifest, root, tmp_path / "whole.h5", "tiny", engine).path.read_bytes()
    last = root / read_manifest(manifest)[-1].key
    data = last.read_bytes()
    last.write_bytes(b"")
    with pytest.raises(ImageError):
        stage.extract(manifest, root, tmp_path / "iuv.h5", "tiny", engine)
    last.write_bytes(data)
    outcome = stage.extract(manifest, root, tmp_path / "iuv.h5", "tiny", engine)
    assert 0 < outcome.made < len(read_manifest(manifest))
    assert outcome.path.read_bytes() == whole
