"""Pieces: a run with the same settings resumes from them, one with others is refused; each is complete."""

from pathlib import Path

import numpy as np
import pytest

from dsa_app.errors import BusyError, StoreError
from dsa_data.stores.pieces import Pieces


def test_a_run_resumes_from_its_pieces_and_deletes_them_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    with Pieces(out, {"size": 16}) as pieces:
        pieces.write("one", values=np.arange(3))
    with Pieces(out, {"size": 16}) as pieces:
        assert pieces.has("one")
        assert not pieces.has("two")
        assert pieces.read("one")["values"].tolist() == [0, 1, 2]
        pieces.assemble(lambda path: path.write_text("whole") and None)
    assert out.read_text() == "whole"
    assert [path.name for path in tmp_path.iterdir()] == ["out.bin"]


def test_other_settings_are_refused_and_say_what_differs(tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    with Pieces(out, {"warp": {"size": 16}}) as pieces:
        pieces.write("one", values=np.arange(3))
    with (
        pytest.raises(StoreError, match=r"warp\.size was 16, this run wants 32.*\n.*--overwrite"),
        Pieces(out, {"warp": {"size": 32}}),
    ):
        pass
    with Pieces(out, {"warp": {"size": 32}}, overwrite=True) as pieces:
        assert not pieces.has("one")


def test_pieces_of_unknown_settings_are_not_used(tmp_path: Path) -> None:
    with Pieces(tmp_path / "out", {"size": 16}) as pieces:
        pieces.write("one", values=np.arange(3))
        (pieces.folder / "configuration.json").unlink()  # as if killed while the folder was being removed
    with Pieces(tmp_path / "out", {"size": 16}) as pieces:
        assert not pieces.has("one")


def test_a_run_without_pieces_does_not_block_other_settings(tmp_path: Path) -> None:
    with Pieces(tmp_path / "out", {"size": 16}):
        pass  # as after a run that was refused
    with Pieces(tmp_path / "out", {"size": 32}) as pieces:
        pieces.write("one", values=np.arange(3))
    with pytest.raises(StoreError, match="size was 32, this run wants 16"), Pieces(tmp_path / "out", {"size": 16}):
        pass
    assert Pieces(tmp_path / "out", {}).folder.exists()


def test_a_run_without_pieces_leaves_no_folder(tmp_path: Path) -> None:
    def refused() -> None:
        with Pieces(tmp_path / "out", {"size": 16}):
            raise StoreError("refused")

    with pytest.raises(StoreError, match="refused"):
        refused()
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_releases_the_lock(tmp_path: Path) -> None:
    with Pieces(tmp_path / "out", {"size": 16}) as pieces:
        pieces.write("one", values=np.arange(3))
    refused = Pieces(tmp_path / "out", {"size": 32})
    with pytest.raises(StoreError):
        refused.__enter__()
    with Pieces(tmp_path / "out", {"size": 16}):
        pass


def test_a_failed_assembly_leaves_the_old_output(tmp_path: Path) -> None:
    out = tmp_path / "out.bin"
    out.write_text("old")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with Pieces(out, {}) as pieces:
        pieces.write("one", values=np.arange(3))
        with pytest.raises(OSError, match="No space left"):
            pieces.assemble(fail)
    assert out.read_text() == "old"
    with Pieces(out, {}) as pieces:
        assert pieces.has("one")


def test_a_second_run_at_the_same_time_is_refused(tmp_path: Path) -> None:
    with (
        Pieces(tmp_path / "out", {}),
        pytest.raises(BusyError, match="Another process is writing"),
        Pieces(tmp_path / "out", {}),
    ):
        pass


def test_a_damaged_piece_is_named(tmp_path: Path) -> None:
    with Pieces(tmp_path / "out", {}) as pieces:
        pieces.write("one", values=np.arange(3))
        path = pieces.folder / "one.npz"
        path.write_bytes(path.read_bytes()[:50])
        with pytest.raises(StoreError, match=r"one\.npz is damaged"):
            pieces.read("one")
