"""A dataset's pictures against what its authors counted, and against what an evaluation needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .records import Entry
from .sets.dataset import Count, Dataset
from .sets.layout import DISTRACTOR


def table(entries: Sequence[Entry], dataset: Dataset | None = None) -> list[str]:
    """Return lines of pictures, identities (distractors left out) and cameras by split, with the published counts."""
    known = dataset.published if dataset else {}
    head = f"{'split':12}{'pictures':>10}{'identities':>12}{'cameras':>9}"
    lines = [head + (f"{'published:':>13}{'pictures':>10}{'identities':>12}" if known else "")]
    for split in dict.fromkeys([*(entry.split for entry in entries), *known]):
        part = [entry for entry in entries if entry.split == split]
        found = count(part)
        line = f"{split:12}{found.pictures:10}{found.identities:12}{len({entry.camid for entry in part}):9}"
        if split in known:
            line += f"{'':13}{known[split].pictures:10}{known[split].identities:12}"
        lines.append(line)
    return lines


def count(entries: Sequence[Entry]) -> Count:
    """Count pictures and identities, distractors left out."""
    return Count(len(entries), len({entry.pid for entry in entries} - {DISTRACTOR}))


def differences(entries: Sequence[Entry], dataset: Dataset) -> list[str]:
    """Say where the counts differ from the published ones: "train has 5 pictures, 12,936 were published"."""
    parts = [(f"{split} has", [e for e in entries if e.split == split], n) for split, n in dataset.published.items()]
    if dataset.together:
        parts.append(("there are", list(entries), dataset.together))
    found = []
    for where, part, known in parts:
        here = count(part)
        if here.pictures != known.pictures:
            found.append(f"{where} {here.pictures:,} pictures, {known.pictures:,} were published")
        if here.identities != known.identities:
            found.append(f"{where} {here.identities:,} identities, {known.identities:,} were published")
    cameras = len({entry.camid for entry in entries})
    if dataset.cameras and cameras != dataset.cameras:
        found.append(f"there are {cameras} cameras, {dataset.cameras} were published")
    return found


def missing(entries: Sequence[Entry], root: Path) -> str | None:
    """Say which of the pictures are not there, as a list may name what was never unpacked; None if all are."""
    absent = [entry.key for entry in entries if not (root / entry.key).is_file()]
    return f"{len(absent):,} of {len(entries):,} listed pictures are not there, first {absent[0]}" if absent else None


def measurable(entries: Sequence[Entry]) -> bool:
    """Tell whether any query has an answer that counts, one of another camera."""
    return len(_unanswered(entries)) < sum(entry.split == "query" for entry in entries)


def unmatched(entries: Sequence[Entry]) -> str | None:
    """Say how many queries no other camera answers, and what that means; None if there are none.

    A gallery picture counts as an answer only if another camera took it; one of the same is often the next frame.
    """
    without = _unanswered(entries)
    if not without:
        return None
    if measurable(entries):
        queries = sum(entry.split == "query" for entry in entries)
        return (
            f"{len(without)} of {queries} queries have no gallery picture of their person from another camera, "
            f"first {without[0].key}: the evaluation leaves them out."
        )
    if not {entry.pid for entry in without} & {entry.pid for entry in entries if entry.split == "gallery"}:
        return (
            f"The gallery shows none of the persons of the {len(without)} queries: nothing can be measured. Put other "
            "pictures of theirs into the split 'gallery'."
        )
    if len({entry.camid for entry in entries}) == 1:
        return (
            "All pictures have the same camera number, and the evaluation counts answers of another camera alone: "
            "nothing can be measured so. Give the cameras their numbers, or measure without the camera rule, which is "
            "easier and not comparable with published results: --set evaluate.cameras=ignore"
        )
    return (
        "No query has a gallery picture of its person from another camera: nothing can be measured. Check the split "
        "and the camera numbers, or measure without the camera rule: --set evaluate.cameras=ignore"
    )


def _unanswered(entries: Sequence[Entry]) -> list[Entry]:
    seen: dict[int, set[int]] = {}
    for entry in entries:
        if entry.split == "gallery":
            seen.setdefault(entry.pid, set()).add(entry.camid)
    return [entry for entry in entries if entry.split == "query" and not seen.get(entry.pid, set()) - {entry.camid}]
