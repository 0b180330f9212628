"""Names of files that a user gave: why one names no file, and whether one can be written, before any work."""

from __future__ import annotations

from pathlib import Path

from .errors import ConfigError


def why_no_file(path: Path) -> str:
    """Return why a path that names no file does not: it does not exist, or is a folder or a device."""
    if path.is_dir():
        return "is a folder"
    return "is not a file" if path.exists() else "does not exist"


def check_place(path: Path, option: str) -> None:
    """Raise ConfigError unless a file can have this path: it is no folder, and what is above it is one."""
    if path.is_dir():
        raise ConfigError(f"{option} {path}: this is a folder. Name a file.")
    above = next(parent for parent in path.absolute().parents if parent.exists() or parent.is_symlink())
    if not above.is_dir():
        raise ConfigError(f"{option} {path}: {above} is not a folder. Name a file in one.")
