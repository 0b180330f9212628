"""The `pose` engine from images to a store: the same bytes however often it is stopped and by however many threads."""

from pathlib import Path

import numpy as np
import pytest

from densepose_extract import stage
from densepose_extract.engines import pose
from densepose_extract.engines.pose import BATCH, PoseEngine
from densepose_extract.target import folder_entries
from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.records import index, write_manifest
from dsa_data.stores.iuv import IuvStore
from landmark_network import KnowingNetwork, network_file
from rendered_people import agreement, rendered_people

PEOPLE = rendered_people(20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Twenty rendered people, and an image of nobody, as PNG."""
    folder = tmp_path / "market1501" / "bounding_box_train"
    folder.mkdir(parents=True)
    for number, person in enumerate(PEOPLE):
        images.write_png(folder / f"0001_c1s1_{number:06d}_00.png", person.image)
    images.write_png(folder / "0002_c1s1_000000_00.png", np.zeros((32, 16, 3), np.uint8))
    return folder.parents[0]


@pytest.fixture
def manifest(root: Path) -> Path:
    return write_manifest(index(root, folder_entries(root)), root.with_name("manifest.csv"))


def engine(monkeypatch: pytest.MonkeyPatch, threads: int = 1, bits: int = 8) -> PoseEngine:
    monkeypatch.setattr(pose, "BlazePose", lambda path: KnowingNetwork(PEOPLE))
    return PoseEngine(Path("unused"), "0" * 64, bits, threads)


@pytest.mark.parametrize("bits", [8, 16])
def test_maps_with_confidence(root: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, bits: int) -> None:
    out = root.with_name("iuv.h5")
    outcome = stage.extract(manifest, root, out, "market1501", engine(monkeypatch, bits=bits))
    store = IuvStore(out)
    assert outcome.made == 21
    assert store.bits == bits
    assert store.confidence == "pixels"
    assert store.statuses == ["found"] * 20 + ["none"]
    assert store.header.configuration["engine"] == "pose"
    stored = store.read(3)
    assert stored.confidence is not None
    assert stored.confidence.shape == (128, 64)
    assert 0 < store.image_confidences[3] < 1
    assert store.scores[:20].tolist() == [1.0] * 20
    assert agreement(stored.iuv, PEOPLE[3].iuv)[0] > 0.9


def test_the_same_bytes_by_any_number_of_threads_and_after_a_stop(
    root: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = stage.extract(
        manifest, root, root.with_name("a.h5"), "market1501", engine(monkeypatch)
    ).path.read_bytes()
    several = stage.extract(manifest, root, root.with_name("b.h5"), "market1501", engine(monkeypatch, 4), jobs=3)
    assert several.path.read_bytes() == expected
    stopping = engine(monkeypatch, 2)
    real, calls = stopping.extract, []

    def stops(batch: list[np.ndarray]) -> list:
        calls.append(len(batch))
        if len(calls) == 2:
            raise ImageError("stopped")
        return real(batch)

    monkeypatch.setattr(stopping, "extract", stops)
    with pytest.raises(ImageError, match="stopped"):
        stage.extract(manifest, root, root.with_name("c.h5"), "market1501", stopping)
    assert not root.with_name("c.h5").exists()
    resumed = stage.extract(manifest, root, root.with_name("c.h5"), "market1501", engine(monkeypatch, 2))
    assert resumed.made == 21 - BATCH  # the first batch was kept
    assert resumed.path.read_bytes() == expected


def test_batches_are_fixed_by_the_number_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = engine(monkeypatch).batches([(128, 64)] * 40)
    assert [len(batch) for batch in batches] == [16, 16, 8]
    assert [index for batch in batches for index in batch] == list(range(40))


def test_the_identity_names_what_decides_the_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine(monkeypatch).identity == {
        "engine": "pose", "version": 1, "model": "0" * 64, "confidence": "pixels"
    }  # fmt: skip


def test_the_real_network_from_images_to_a_store(root: Path, manifest: Path) -> None:
    path = network_file()
    first = stage.extract(manifest, root, root.with_name("a.h5"), "market1501", PoseEngine(path, "x", threads=1))
    second = stage.extract(manifest, root, root.with_name("b.h5"), "market1501", PoseEngine(path, "x", threads=3))
    assert first.path.read_bytes() == second.path.read_bytes()
    store = IuvStore(first.path)
    assert store.statuses.count("found") >= 18
    assert np.mean([agreement(store.read(index).iuv, PEOPLE[index].iuv)[0] for index in range(20)]) > 0.8
