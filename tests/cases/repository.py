"""Where the repository is, for tests that run its files."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE = {"artifacts", "build", "datasets", "dist", "dvc_plots", "__pycache__"}  # folders that git would ignore


def sources() -> list[Path]:
    """Return every file of the repository, links to folders included, and nothing that was made from them."""
    if not (ROOT / ".git").exists():  # the sources may have come as a ZIP
        return sorted(_below(ROOT))
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    paths = [ROOT / name for name in listed.split("\0") if name]
    return sorted({path for path in paths if path.is_symlink() or path.is_file()})  # a deleted one may still be listed


def _below(folder: Path) -> list[Path]:
    found = []
    for path in folder.iterdir():
        hidden = path.name.startswith(".") and path.name not in (".ci", ".dvc", ".github") and path.is_dir()
        if path.is_file() or path.is_symlink():
            found.append(path)
        elif not hidden and path.name not in MADE and path.suffix != ".egg-info":
            found += _below(path)
    return found
