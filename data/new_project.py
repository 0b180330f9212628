"""A folder to work in without a clone of the repository: the pipeline, its settings, and the experiments."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from dsa_app.config import experiments_folder
from dsa_app.errors import ConfigError
from dsa_app.wording import counted
from dsa_reid.atomic import write_atomic

PIPELINE = ("dvc.yaml", "params.yaml")  # the repository's, which a test compares
SETTINGS = {
    ".dvc/config": "[core]\n    analytics = false\n    autostage = false\n",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvcignore": "# Patterns of files that DVC should ignore: https://dvc.org/doc/user-guide/dvcignore\n",
    ".gitignore": ".venv/\n/datasets/\n/artifacts/\n/dvc_plots/\n",
}
WITHOUT_GIT = {".dvc/config.local": "[core]\n    no_scm = true\n"}  # DVC asks for git otherwise
OTHERS = {".git", ".venv"}  # may be there before


def new_project(folder: Path) -> list[Path]:
    """Write the files of a project into a folder, which is made; return those that were not there.

    In a folder with a project, missing files are written, and the others must be the same.

    Raises ConfigError, before anything is written, for a folder with other files, or a project that was changed.
    """
    files = _files(with_git=_is_in_git(folder))
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file. Name another folder.")
    there = {name: folder / name for name in files if (folder / name).exists()}
    changed = [path for name, path in there.items() if not path.is_file() or path.read_bytes() != files[name]]
    if changed:
        more = f" and {counted(len(changed) - 1, 'other file')}" if len(changed) > 1 else ""
        raise ConfigError(f"{changed[0]}{more} differs from that of a new project, and is kept. Name another folder.")
    if not there and folder.is_dir() and any(path.name not in OTHERS for path in folder.iterdir()):
        raise ConfigError(f"{folder} is not empty. Name another folder.")
    return [write_atomic(folder / name, data) for name, data in files.items() if name not in there]


def _files(with_git: bool) -> dict[str, bytes]:
    """Return the files of a project by their paths in its folder."""
    own = resources.files(__package__ or "dsa_data") / "project"
    settings = SETTINGS if with_git else SETTINGS | WITHOUT_GIT
    experiments = experiments_folder()
    return {
        **{name: own.joinpath(name).read_bytes() for name in PIPELINE},
        **{name: text.encode() for name, text in settings.items()},
        **{
            f"experiments/{path.relative_to(experiments).as_posix()}": path.read_bytes()
            for path in sorted(experiments.rglob("*.yaml"))
        },
    }


def _is_in_git(folder: Path) -> bool:
    absolute = folder.absolute()
    return any((above / ".git").exists() for above in (absolute, *absolute.parents))
