"""The images that a command works on, and its default paths."""

from pathlib import Path

import pytest

from densepose_extract.target import Target, folder_entries
from dsa_app.errors import ConfigError, DatasetError
from dsa_data import images
from dsa_data.records import read_manifest
from tiny import random_iuv, write_iuv_image


def test_a_dataset_has_the_paths_of_the_other_commands(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSA_DATASETS", "/d")
    monkeypatch.setenv("DSA_ARTIFACTS", "/a")
    target = Target.choose("market1501", None)
    assert (target.root, target.manifest, target.store) == (
        Path("/d/market1501"),
        Path("/a/market1501/manifest.csv"),
        Path("/a/market1501/iuv.h5"),
    )
    assert Target.choose("market1501", None, root=tmp_path, store=tmp_path / "x.h5").root == tmp_path


def test_a_folder_needs_a_path_for_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where no params.yaml names a dataset
    with pytest.raises(ConfigError, match="needs the path of its store"):
        Target.choose(None, tmp_path)
    target = Target.choose(None, tmp_path / "holiday", store=tmp_path / "made" / "iuv.h5")
    assert (target.dataset, target.manifest, target.unlabelled) == ("holiday", tmp_path / "made" / "manifest.csv", True)
    with pytest.raises(ConfigError, match="No dataset is given"):
        Target.choose(None, None)


def test_images_of_a_folder_without_its_maps(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jpg", "sub/b_IUV.png", "notes.txt", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(images.encode_png(random_iuv(4, 4)))
    entries = folder_entries(tmp_path)
    assert [(entry.key, entry.split, entry.pid, entry.camid) for entry in entries] == [
        ("a.png", "all", 0, 0),
        ("sub/b.jpg", "all", 0, 0),
    ]
    with pytest.raises(DatasetError, match="is not a folder"):
        folder_entries(tmp_path / "none")


def test_a_dataset_is_listed_once_a_folder_every_time(market: Path, tmp_path: Path) -> None:
    dataset = Target.choose("market1501", None, market, tmp_path / "m.csv", tmp_path / "iuv.h5")
    dataset.list_images()
    assert len(read_manifest(dataset.manifest)) == 16
    dataset.manifest.write_text("mine")
    dataset.list_images()
    assert dataset.manifest.read_text() == "mine"

    write_iuv_image(tmp_path / "free" / "a.png", random_iuv(4, 4))
    folder = Target.choose(None, tmp_path / "free", None, None, tmp_path / "made" / "iuv.h5")
    folder.list_images()
    write_iuv_image(tmp_path / "free" / "b.png", random_iuv(4, 4))
    folder.list_images()
    assert [record.key for record in read_manifest(folder.manifest)] == ["a.png", "b.png"]
