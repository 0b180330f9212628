"""Names of files that a user gave: each fault is named before any work."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from dsa_app.errors import ConfigError, DsaError
from dsa_app.file_names import check_place, why_no_file
from dsa_app.row_files import check_rows_file
from dsa_data.cli import main as data
from dsa_data.images import read_bytes
from dsa_data.sharing.archive import opened
from dsa_data.stores.dsap import DsapStore
from dsa_train.evaluation.distance_file import check_distance_file
from dsa_train.evaluation.label_table import read_table


def test_why_a_path_names_no_file(tmp_path: Path) -> None:
    assert why_no_file(tmp_path / "nothing") == "does not exist"
    assert why_no_file(tmp_path) == "is a folder"
    assert why_no_file(Path("/dev/null")) == "is not a file"


@pytest.mark.parametrize("check", [check_place, check_rows_file, check_distance_file])
def test_a_file_that_cannot_be_written_is_known_at_once(check, tmp_path: Path) -> None:
    ending = {check_rows_file: ".csv", check_distance_file: ".npy"}.get(check, ".png")
    (tmp_path / f"folder{ending}").mkdir()
    (tmp_path / "file").touch()
    check(tmp_path / f"new{ending}", "--out")
    check(tmp_path / "new folder" / f"new{ending}", "--out")
    with pytest.raises(ConfigError, match="this is a folder"):
        check(tmp_path / f"folder{ending}", "--out")
    with pytest.raises(ConfigError, match="file is not a folder"):
        check(tmp_path / "file" / "below" / f"new{ending}", "--out")


@pytest.mark.parametrize(
    "read", [read_bytes, read_table, lambda path: opened(path).__enter__(), lambda p: DsapStore(p).keys]
)
def test_a_folder_in_place_of_a_file_is_called_one(read, tmp_path: Path) -> None:
    with pytest.raises(DsaError, match="is a folder") as caught:
        read(tmp_path)
    assert "exist" not in str(caught.value)


@pytest.mark.parametrize("jobs", ["9999999", "-9999999", "9" * 11, "9" * 40])
def test_more_processes_than_any_machine_has_cores_are_refused(jobs: str) -> None:
    result = CliRunner().invoke(data, ["prepare", "--dataset", "synthetic", "--jobs", jobs])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert "expected at most 4,096" in result.stderr
