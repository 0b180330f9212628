"""Packing: what an archive holds, the same bytes each time, only what changed, files that do not fit dvc.lock."""

import hashlib
import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

import dsa_data.sharing.pack as packing
from dsa_app.errors import ConfigError, DatasetError, StoreError
from dsa_data.cli import main
from dsa_data.sharing.archive import opened
from dsa_data.sharing.pack import pack
from dsa_data.sharing.unpack import unpack
from packed import DATASET, FILES, contents, fill, lock

PREFIX = f"artifacts/{DATASET}/"
SHARED = sorted(f"{PREFIX}{name}" for name in FILES if name != "sheet.png")


def test_an_archive_holds_the_files_as_they_are(clone: Path, tmp_path: Path) -> None:
    index = pack(DATASET, tmp_path / "a.zip")
    assert [file.path for file in index.files] == [*SHARED, "dvc.lock"]
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.namelist() == ["dsa-reid.json", *SHARED, "dvc.lock"]
        assert archive.testzip() is None
        for file in index.files:
            data = (clone / file.path).read_bytes()
            assert archive.read(file.path) == data
            assert (file.size, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        assert json.loads(archive.read("dsa-reid.json"))["dataset"] == DATASET
    with opened(tmp_path / "a.zip") as (_, read):
        assert read == index
    assert index.project == {"params.yaml": hashlib.sha256(b"dataset: market1501\n").hexdigest()}


def test_the_same_files_give_the_same_bytes(clone: Path, other: Path, tmp_path: Path) -> None:
    pack(DATASET, tmp_path / "a.zip")
    for path in clone.rglob("*"):
        os.utime(path, (1, 1))
    (clone / "artifacts" / DATASET / "iuv.h5").chmod(0o600)
    pack(DATASET, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_an_archive_that_is_packed_where_it_was_unpacked_is_the_same(
    clone: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(DATASET, tmp_path / "a.zip")
    monkeypatch.chdir(other)
    unpack(tmp_path / "a.zip")
    pack(DATASET, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_file_larger_than_zips_32_bits(
    clone: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100_000)
    pack(DATASET, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        versions = {entry.filename: entry.extract_version for entry in archive.infolist()}
    assert versions[f"{PREFIX}iuv.h5"] == 45, "the version of zip64"
    monkeypatch.chdir(other)
    unpack(tmp_path / "a.zip")
    assert contents(other)[f"{PREFIX}iuv.h5"] == FILES["iuv.h5"]


def test_memory_does_not_grow_with_the_files(clone: Path, tmp_path: Path) -> None:
    fill(clone, {"iuv.h5": b"x" * (40 << 20)})
    tracemalloc.start()
    pack(DATASET, tmp_path / "a.zip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_only_what_changed_since_an_earlier_archive(
    clone: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack(DATASET, tmp_path / "a.zip")
    fill(clone, {"dsap.h5": b"other size"})
    lock(clone)
    index = pack(DATASET, tmp_path / "b.zip", since=tmp_path / "a.zip")
    assert [file.path for file in index.files if file.here] == [f"{PREFIX}dsap.h5", "dvc.lock"]
    assert [file.path for file in index.files] == [*SHARED, "dvc.lock"]
    monkeypatch.chdir(other)
    with pytest.raises(StoreError, match=r"iuv\.h5 is not the file of that one\. Unpack the earlier archive"):
        unpack(tmp_path / "b.zip")
    assert contents(other).keys() == {"params.yaml"}
    unpack(tmp_path / "a.zip")
    unpack(tmp_path / "b.zip", overwrite=True)
    shared = {name: data for name, data in contents(clone).items() if not name.endswith("sheet.png")}
    assert contents(other) == shared


def test_an_earlier_archive_of_another_dataset_is_refused(clone: Path, tmp_path: Path) -> None:
    pack(DATASET, tmp_path / "a.zip")
    (clone / "artifacts" / DATASET).rename(clone / "artifacts" / "msmt17")
    with pytest.raises(StoreError, match="is of the dataset market1501, not msmt17"):
        pack("msmt17", tmp_path / "b.zip", since=tmp_path / "a.zip")
    with pytest.raises(ConfigError, match="--out and --since are both"):
        pack("msmt17", tmp_path / "a.zip", since=tmp_path / "a.zip")


def test_without_maps_there_is_nothing_to_pack(clone: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no maps and no part images\. Make the maps first"):
        pack("msmt17", tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_without_dvc_the_stages_files_are_packed(clone: Path, tmp_path: Path) -> None:
    (clone / "dvc.lock").unlink()
    names = [file.path for file in pack(DATASET, tmp_path / "a.zip").files]
    assert names == [name for name in SHARED if "runs/" not in name]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda root: fill(root, {"dsap.h5": b"newer"}), f"note: {PREFIX}dsap.h5 is not the file that dvc.lock names"),
        (lambda root: (root / PREFIX / "runs/table3/dsa-reid/model.pt").unlink(), "model.pt is not the file"),
        (lambda root: lock(root, "msmt17"), "note: dvc.lock is of another dataset, not of market1501"),
        (lambda root: None, ""),
    ],
)
def test_what_dvc_would_make_again_is_noted(clone: Path, tmp_path: Path, change, note: str) -> None:
    change(clone)
    done = CliRunner().invoke(main, ["pack", "--dataset", DATASET, "--out", str(tmp_path / "a.zip")])
    assert done.exit_code == 0, done.output
    assert note in done.stderr
    assert done.stderr.count("note:") == bool(note)


def test_a_file_that_changes_while_it_is_packed(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = packing._listed

    def changed(sources: dict[str, Path]) -> list:
        found = listed(sources)
        fill(clone, {"iuv.h5": b"X" * len(FILES["iuv.h5"])})
        return found

    monkeypatch.setattr(packing, "_listed", changed)
    with pytest.raises(StoreError, match=r"iuv\.h5 changed while it was packed\. Run the same command again\."):
        pack(DATASET, tmp_path / "a.zip")
    assert not list(tmp_path.glob("a.zip*"))


def test_the_command(clone: Path) -> None:
    folder = clone / "artifacts" / DATASET
    done = CliRunner().invoke(main, ["pack"])
    assert done.stdout == f"artifacts/{DATASET}/{DATASET}.zip: 6 files of {DATASET}, 1.3 MB\n"
    assert "reading" not in done.stderr, "no progress line of a second's work"
    done = CliRunner().invoke(main, ["pack", "--since", str(folder / f"{DATASET}.zip")])
    assert done.stdout.endswith(f"{DATASET}-changes.zip: 0 files of {DATASET}, 0.0 MB; 6 unchanged files left out\n")
