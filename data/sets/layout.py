"""What all datasets' folders are held to: complete, with readable names, no identity in training and in test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from dsa_app.errors import DatasetError

from ..images import is_image
from ..records import Entry

DISTRACTOR, JUNK = 0, -1  # identities of Market-1501's naming that are nobody


def need(root: Path, names: Sequence[str], layout: str) -> None:
    """Check that `root` holds the files or folders `names`.

    Args:
        layout: a sentence on what belongs where.

    Raises:
        DatasetError: naming what is missing, and where it lies instead if that is a folder deeper or above.
    """
    missing = [name for name in names if not (root / name).exists()]
    if not missing:
        return
    where = _elsewhere(root, names)
    hint = f" {where} has it: move what is in there to {root}, or replace {root} by a link to it." if where else ""
    raise DatasetError(f"{root} lacks {', '.join(missing)}.{hint} {layout}")


def _elsewhere(root: Path, names: Sequence[str]) -> Path | None:
    """Return the folder near `root` that holds all of `names`: zips unpack a folder deeper than people think."""
    inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    deeper = sorted(path for child in inside for path in child.iterdir() if path.is_dir())
    for place in (*inside, root.parent, *deeper):
        if all((place / name).exists() for name in names):
            return place
    return None


def pictures(folder: Path, root: Path) -> list[str]:
    """Return the keys of the pictures in a folder below `root`, sorted; other files (Thumbs.db) are passed over."""
    return sorted(path.relative_to(root).as_posix() for path in folder.iterdir() if is_image(path))


def check_disjoint(entries: Iterable[Entry], root: Path, remedy: str = "Separate them.") -> None:
    """Raise DatasetError if an identity is in training and in test: the measures would flatter."""
    trained: dict[int, str] = {}
    tested: dict[int, str] = {}
    for entry in entries:
        (trained if entry.split == "train" else tested).setdefault(entry.pid, entry.key)
    shared = sorted(trained.keys() & tested.keys() - {DISTRACTOR})
    if shared:
        pid = shared[0]
        raise DatasetError(
            f"{root}: {len(shared)} identities are in training and in test, first {pid} ({trained[pid]}, "
            f"{tested[pid]}). {remedy}"
        )
