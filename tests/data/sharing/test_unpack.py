"""Unpacking: whole or not at all, resumed, nothing replaced unasked; archives that are damaged or made to do harm."""

import hashlib
import json
import random
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import dsa_data.sharing.unpack as unpacking
from dsa_app.errors import BusyError, StoreError
from dsa_app.lock import locked
from dsa_data.cli import main
from dsa_data.sharing.pack import pack
from dsa_data.sharing.unpack import unpack
from packed import DATASET, FILES, contents, fill, lock

PREFIX = f"artifacts/{DATASET}/"


@pytest.fixture
def archive(clone: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the clone; the test works in the other clone."""
    pack(DATASET, tmp_path / "a.zip")
    monkeypatch.chdir(other)
    return tmp_path / "a.zip"


def test_a_fresh_clone_gets_everything(archive: Path, clone: Path, other: Path) -> None:
    index, written = unpack(archive)
    expected = {name: data for name, data in contents(clone).items() if not name.endswith("sheet.png")}
    assert contents(other) == expected
    assert len(written) == len(index.files) == 6
    assert unpack(archive) == (index, []), "a second call has nothing to do"


def test_the_folder_of_the_environment(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "disk"))
    unpack(archive)
    assert (tmp_path / "disk" / DATASET / "iuv.h5").read_bytes() == FILES["iuv.h5"]


def test_a_link_to_another_disk_stays(archive: Path, other: Path, tmp_path: Path) -> None:
    folder = fill(other, {})
    folder.mkdir(parents=True)
    (tmp_path / "disk").mkdir()
    (folder / "iuv.h5").symlink_to(tmp_path / "disk" / "iuv.h5")
    unpack(archive)
    assert (folder / "iuv.h5").is_symlink()
    assert contents(tmp_path / "disk") == {"iuv.h5": FILES["iuv.h5"]}


def test_other_files_are_replaced_only_if_the_user_says_so(archive: Path, other: Path) -> None:
    folder = fill(other, {"iuv.h5": b"mine", "dsap.h5": FILES["dsap.h5"], "mine.txt": b"mine"})
    before = contents(other)
    with pytest.raises(StoreError, match=r"iuv\.h5 differs from the archive's\. Move it away, or replace it"):
        unpack(archive)
    assert contents(other) == before
    _, written = unpack(archive, overwrite=True)
    assert folder / "dsap.h5" not in [other / path for path in written]
    assert (folder / "iuv.h5").read_bytes() == FILES["iuv.h5"]
    assert (folder / "mine.txt").read_bytes() == b"mine"


def test_a_folder_where_a_file_belongs(archive: Path, other: Path) -> None:
    fill(other, {"iuv.h5/x": b""})
    with pytest.raises(StoreError, match=r"iuv\.h5 is a folder, in the archive it is a file"):
        unpack(archive, overwrite=True)


def test_stages_of_dvc_lock_are_added(archive: Path, clone: Path, other: Path) -> None:
    (other / "dvc.lock").write_text("schema: '2.0'\nstages:\n  mine:\n    cmd: x\n    outs:\n    - path: y\n")
    unpack(archive)
    text = (other / "dvc.lock").read_text()
    assert "  mine:\n    cmd: x\n" in text
    assert text.endswith((clone / "dvc.lock").read_text().partition("stages:\n")[2]), "to the letter: 1e-05 stays"


def test_a_stage_with_other_settings(archive: Path, clone: Path, other: Path) -> None:
    fill(other)
    lock(other, more=" --otherwise")
    before = contents(other)
    with pytest.raises(StoreError, match=r"dvc\.lock has the stage extract with other settings or files"):
        unpack(archive)
    assert contents(other) == before
    unpack(archive, overwrite=True)
    assert (other / "dvc.lock").read_bytes() == (clone / "dvc.lock").read_bytes()


def test_a_dvc_lock_in_another_layout_is_refused(archive: Path, other: Path) -> None:
    (other / "dvc.lock").write_text('{"schema": "2.0", "stages": {}}')
    with pytest.raises(StoreError, match=r"is not a dvc\.lock as DVC writes it"):
        unpack(archive)


def test_killed_it_resumes(archive: Path, other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After any number of blocks: complete files are not read from the archive again, and none is in place."""
    extracted = unpacking._extracted

    def killed(*arguments: Any) -> Any:
        if arguments[1].path.endswith("manifest.csv"):
            raise KeyboardInterrupt
        yield from extracted(*arguments)

    monkeypatch.setattr(unpacking, "_extracted", killed)
    with pytest.raises(KeyboardInterrupt):
        unpack(archive)
    left = {name for name in contents(other) if name != "params.yaml"}
    assert left == {f"{PREFIX}dsap.h5.unpacked", f"{PREFIX}iuv.h5.unpacked"}
    monkeypatch.setattr(unpacking, "_extracted", extracted)
    read: list[str] = []
    open_file = zipfile.ZipFile.open

    def counted(self: zipfile.ZipFile, name: Any, *more: Any, **options: Any) -> Any:
        read.append(str(getattr(name, "filename", name)))
        return open_file(self, name, *more, **options)

    monkeypatch.setattr(zipfile.ZipFile, "open", counted)
    unpack(archive)
    assert f"{PREFIX}iuv.h5" not in read
    assert f"{PREFIX}manifest.csv" in read
    assert not [name for name in contents(other) if name.endswith(".unpacked")]


def test_what_a_killed_call_left_is_verified(archive: Path, other: Path) -> None:
    fill(other, {"iuv.h5.unpacked": b"\xff" * len(FILES["iuv.h5"])})
    unpack(archive)
    assert contents(other)[f"{PREFIX}iuv.h5"] == FILES["iuv.h5"]


def test_another_process_that_writes_the_maps(archive: Path, other: Path) -> None:
    folder = fill(other, {})
    folder.mkdir(parents=True)
    with locked(folder / "iuv.h5", None), pytest.raises(BusyError, match="Another process is writing"):
        unpack(archive)
    assert not (folder / "iuv.h5").exists()
    unpack(archive)


# Damaged archives


def damaged_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(FILES["dsap.h5"]) + 3] ^= 1
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def not_ours(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x", "y")


@pytest.mark.parametrize("damage", [damaged_byte, cut_short, emptied, not_ours])
def test_a_damaged_archive_leaves_nothing(archive: Path, other: Path, damage: Callable[[Path], None]) -> None:
    damage(archive)
    before = contents(other)
    done = CliRunner().invoke(main, ["unpack", str(archive)])
    assert done.exit_code == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {archive} is damaged")
    assert line.endswith("Copy or pack it again.")
    assert contents(other) == before


def test_a_missing_archive(other: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(other)
    with pytest.raises(StoreError, match=r"nowhere\.zip does not exist\. Name an archive of dsa-data pack\."):
        unpack(Path("nowhere.zip"))


# Archives that are made to do harm


def described(path: str, data: bytes) -> dict[str, Any]:
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    sha256 = hashlib.sha256(data).hexdigest()
    return {"path": path, "size": len(data), "sha256": sha256, "md5": md5, "cached": False, "here": True}


def crafted(path: Path, names: list[str], dataset: str = DATASET, mode: int = stat.S_IFREG, kind: int = 0) -> Path:
    """Write an archive whose index is right, with files of any name, mode and compression."""
    data = b"0" * 10_000
    index = {
        "format": "dsa-reid pack", "version": 1, "dataset": dataset, "project": {},
        "files": [described(name, data) for name in names],
    }  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("dsa-reid.json", json.dumps(index))
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (mode | 0o777) << 16
            archive.writestr(entry, data, compress_type=kind)
    return path


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../x", "artifacts/../../x", f"{PREFIX}../../../x", f"{PREFIX}a/../b", f"artifacts/{DATASET}",
        f"{PREFIX}", f"{PREFIX}a//b", f"{PREFIX}./b", "artifacts/msmt17/iuv.h5", "params.yaml", ".git/config",
        f"{PREFIX}.hidden", f"{PREFIX}a\\..\\b", f"{PREFIX}a\nb", "artifacts/x",
    ],
)  # fmt: skip
def test_paths_that_lead_elsewhere_are_refused(other: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(other)
    path = crafted(other.parent / "bad.zip", [name])
    before = contents(other.parent)
    with pytest.raises(StoreError, match=r"is damaged, or is not an archive of dsa-data pack \("):
        unpack(path)
    assert contents(other.parent) == before


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"dataset": "../../etc"}, "is no name of a dataset"),
        ({"dataset": ".."}, "is no name of a dataset"),
        ({"mode": stat.S_IFLNK}, "is a link or a folder"),
        ({"mode": stat.S_IFIFO}, "is a link or a folder"),
        ({"kind": zipfile.ZIP_DEFLATED}, "it holds compressed files"),
        ({"names": [f"{PREFIX}a", f"{PREFIX}a"]}, "two files at one path"),
        ({"names": [f"{PREFIX}a", f"{PREFIX}a/b"]}, "two files at one path"),
        ({"names": []}, "has no list of 1 to 10000 files"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_crafted_archives_are_refused(
    other: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], reason: str
) -> None:
    monkeypatch.chdir(other)
    path = crafted(other.parent / "bad.zip", **({"names": [f"{PREFIX}a"]} | more))
    with pytest.raises(StoreError, match=reason):
        unpack(path)
    assert contents(other).keys() == {"params.yaml"}


VALUES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "other version": (lambda index: index.update(version=2), "it has version 2, this program reads 1"),
    "other form": (lambda index: index.update(format="x"), "is not its index"),
    "no files": (lambda index: index.update(files=7), "has no list"),
    "a size of text": (lambda index: index["files"][0].update(size="1"), "an invalid size"),
    "a negative size": (lambda index: index["files"][0].update(size=-1), "no size or digests"),
    "a short digest": (lambda index: index["files"][0].update(sha256="ab"), "no size or digests"),
    "another size": (lambda index: index["files"][0].update(size=5), "another size than its index says"),
    "another digest": (lambda index: index["files"][0].update(sha256="0" * 64), "another digest than its index says"),
    "another MD5": (lambda index: index["files"][0].update(md5="0" * 32), "another digest than its index says"),
    "one more value": (lambda index: index["files"][0].update(more=1), "has other values than"),
    "a file too few": (lambda index: index["files"].pop(0), "is not in its index"),
    "a file too many": (lambda index: index["files"].append(described(f"{PREFIX}z", b"")), "are missing, or are there"),
}


@pytest.mark.parametrize("case", VALUES)
def test_an_index_that_does_not_fit(archive: Path, other: Path, case: str) -> None:
    change, reason = VALUES[case]
    with zipfile.ZipFile(archive) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    index = json.loads(entries["dsa-reid.json"])
    change(index)
    entries["dsa-reid.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(archive, "w") as new:
        for name, data in entries.items():
            new.writestr(name, data)
    with pytest.raises(StoreError, match=reason):
        unpack(archive)
    assert contents(other).keys() == {"params.yaml"}


def test_a_note_if_the_settings_are_others(archive: Path, other: Path) -> None:
    (other / "params.yaml").write_text("dataset: market1501\nset: []\n")
    done = CliRunner().invoke(main, ["unpack", str(archive)])
    assert done.exit_code == 0
    assert done.stdout.endswith(f"{archive}: 6 files of market1501, 6 of them new\n")
    assert done.stderr == "note: params.yaml is not the one it was packed with: `dvc repro` may run stages again.\n"


def test_random_damage_is_refused_or_does_no_harm(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that are changed, left out or repeated anywhere: the files come out right, or nothing does."""
    fill(clone, {"iuv.h5": b"maps" * 50})
    lock(clone)
    pack(DATASET, tmp_path / "whole.zip")
    whole = (tmp_path / "whole.zip").read_bytes()
    right = {name: data for name, data in contents(clone).items() if "/sheet.png" not in name and name != "params.yaml"}
    refused = 0
    for seed in range(300):
        rng = random.Random(seed)
        at, length = rng.randrange(len(whole)), rng.randrange(1, 200)
        damage = [bytes([whole[at] ^ 1 << rng.randrange(8)]), b"", whole[at : at + length] * 2][seed % 3]
        (tmp_path / "bad.zip").write_bytes(whole[:at] + damage + whole[at + (1 if seed % 3 == 0 else length) :])
        other = tmp_path / f"other{seed}"
        other.mkdir()
        monkeypatch.chdir(other)
        try:
            unpack(tmp_path / "bad.zip")
        except StoreError:
            refused += 1
            assert contents(other) == {}
        else:
            assert contents(other) == right
    assert refused > 250
