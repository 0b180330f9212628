"""The files of a new project: those of the repository; a folder with anything else is left alone."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from dsa_app.errors import ConfigError
from dsa_data.cli import main
from dsa_data.new_project import PIPELINE, new_project
from dsa_data.sharing.cache_option import set_cached
from packed import contents
from repository import ROOT


@pytest.mark.parametrize("name", PIPELINE)
def test_the_pipeline_is_the_repositorys(name: str) -> None:
    copied = ROOT / "data" / "project" / name
    assert copied.read_bytes() == (ROOT / name).read_bytes(), f"run: cp {name} data/project/{name}"
    assert {path.name for path in copied.parent.iterdir()} == set(PIPELINE)


def test_settings_of_dvc_are_the_repositorys(tmp_path: Path) -> None:
    new_project(tmp_path / "new")
    assert (tmp_path / "new" / ".dvc" / "config").read_bytes() == (ROOT / ".dvc" / "config").read_bytes()
    ignored = set((tmp_path / "new" / ".gitignore").read_text().split())
    assert ignored <= set((ROOT / ".gitignore").read_text().split())


def test_all_experiments_are_there(tmp_path: Path) -> None:
    written = new_project(tmp_path / "a" / "new")
    own, ours = contents(tmp_path / "a" / "new" / "experiments"), contents(ROOT / "train" / "experiments")
    assert own == ours
    assert len(written) == len(ours) + 7
    assert set_cached(True, tmp_path / "a" / "new" / "dvc.yaml")


def test_without_git_dvc_is_not_asked_for_it(tmp_path: Path) -> None:
    new_project(tmp_path / "without")
    (tmp_path / "with" / ".git").mkdir(parents=True)
    new_project(tmp_path / "with")
    new_project(tmp_path / "with" / "below")
    have = [(tmp_path / name / ".dvc" / "config.local").exists() for name in ("without", "with", "with/below")]
    assert have == [True, False, False]


def test_a_project_is_completed_and_never_changed(tmp_path: Path) -> None:
    new_project(tmp_path)
    whole = contents(tmp_path)
    assert new_project(tmp_path) == []
    shutil.rmtree(tmp_path / "experiments")
    (tmp_path / "artifacts").mkdir()
    assert len(new_project(tmp_path)) == len(contents(tmp_path / "experiments"))
    assert contents(tmp_path) == whole
    (tmp_path / "params.yaml").write_text("dataset: mine\n")
    (tmp_path / "experiments" / "demo.yaml").unlink()
    with pytest.raises(ConfigError, match=r"params\.yaml differs from that of a new project, and is kept\."):
        new_project(tmp_path)
    assert (tmp_path / "params.yaml").read_text() == "dataset: mine\n"
    assert not (tmp_path / "experiments" / "demo.yaml").exists(), "nothing is written"


def test_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ConfigError, match="is not empty"):
        new_project(tmp_path)
    with pytest.raises(ConfigError, match=r"thesis\.tex is a file"):
        new_project(tmp_path / "thesis.tex")
    assert contents(tmp_path) == {"thesis.tex": b"x"}


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["new", "my people"])
    assert done.exit_code == 0
    first, *rest = done.output.splitlines()
    assert first.endswith(" new files: params.yaml, dvc.yaml, experiments")
    assert rest == ["Next:", "  cd 'my people'", "  dvc repro", "  dsa-train report"]
    assert CliRunner().invoke(main, ["new", "my people"]).output.startswith("my people: nothing is missing\n")
    Path("my people/dvc.yaml").write_text("")
    done = CliRunner().invoke(main, ["new", "my people"])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: my people/dvc.yaml differs from that of a new project")
