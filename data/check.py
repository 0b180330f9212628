"""A dataset's pictures against what its authors counted, and against what an evaluation needs."""

from __future__ import annotations

from collections.abc import Sequence

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
    found = []
    for split, known in dataset.published.items():
        here = count([entry for entry in entries if entry.split == split])
        if here.pictures != known.pictures:
            found.append(f"{split} has {here.pictures:,} pictures, {known.pictures:,} were published")
        if here.identities != known.identities:
            found.append(f"{split} has {here.identities:,} identities, {known.identities:,} were published")
    cameras = len({entry.camid for entry in entries})
    if dataset.cameras and cameras != dataset.cameras:
        found.append(f"there are {cameras} cameras, {dataset.cameras} were published")
    return found


def unmatched(entries: Sequence[Entry]) -> str | None:
    """Say how many queries no other camera answers, and what that means; None if there are none.

    A gallery picture counts as an answer only if another camera took it; one of the same is often the next frame.
    """
    seen: dict[int, set[int]] = {}
    for entry in entries:
        if entry.split == "gallery":
            seen.setdefault(entry.pid, set()).add(entry.camid)
    queries = [entry for entry in entries if entry.split == "query"]
    without = [entry for entry in queries if not seen.get(entry.pid, set()) - {entry.camid}]
    if not without:
        return None
    if len(without) < len(queries):
        return (
            f"{len(without)} of {len(queries)} queries have no gallery picture of their person from another camera, "
            f"first {without[0].key}: the evaluation leaves them out."
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
