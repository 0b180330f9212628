"""Which pictures are meant, and where things go."""

from pathlib import Path

import pytest

from densepose_extract.target import Target, free_entries
from dsa_app.errors import ConfigError, DatasetError
from dsa_data import images
from dsa_data.records import read_manifest
from tiny import random_iuv, write_iuv_image


def test_a_dataset_lies_where_the_other_commands_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DSA_DATASETS", "/d")
    monkeypatch.setenv("DSA_ARTIFACTS", "/a")
    target = Target.choose("market1501", None)
    assert (target.root, target.manifest, target.store) == (
        Path("/d/market1501"),
        Path("/a/market1501/manifest.csv"),
        Path("/a/market1501/iuv.h5"),
    )
    assert Target.choose("market1501", None, root=tmp_path, store=tmp_path / "x.h5").root == tmp_path


def test_a_folder_wants_a_place_for_its_store(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Say the store"):
        Target.choose(None, tmp_path)
    target = Target.choose(None, tmp_path / "holiday", store=tmp_path / "made" / "iuv.h5")
    assert (target.dataset, target.manifest, target.free) == ("holiday", tmp_path / "made" / "manifest.csv", True)
    with pytest.raises(ConfigError, match="No dataset was named"):
        Target.choose(None, None)


def test_free_pictures_leave_maps_out(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jpg", "sub/b_IUV.png", "notes.txt", ".hidden.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(images.encode_png(random_iuv(4, 4)))
    entries = free_entries(tmp_path)
    assert [(entry.key, entry.split, entry.pid, entry.camid) for entry in entries] == [
        ("a.png", "all", 0, 0),
        ("sub/b.jpg", "all", 0, 0),
    ]
    with pytest.raises(DatasetError, match="is no folder"):
        free_entries(tmp_path / "none")


def test_a_dataset_is_listed_once_a_folder_each_time(market: Path, tmp_path: Path) -> None:
    dataset = Target.choose("market1501", None, market, tmp_path / "m.csv", tmp_path / "iuv.h5")
    dataset.list_pictures()
    assert len(read_manifest(dataset.manifest)) == 16
    dataset.manifest.write_text("mine")
    dataset.list_pictures()
    assert dataset.manifest.read_text() == "mine"

    write_iuv_image(tmp_path / "free" / "a.png", random_iuv(4, 4))
    folder = Target.choose(None, tmp_path / "free", None, None, tmp_path / "made" / "iuv.h5")
    folder.list_pictures()
    write_iuv_image(tmp_path / "free" / "b.png", random_iuv(4, 4))
    folder.list_pictures()
    assert [record.key for record in read_manifest(folder.manifest)] == ["a.png", "b.png"]
