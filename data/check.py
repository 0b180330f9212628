"""A dataset's counts compared with the published ones, and queries that the evaluation cannot use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .records import Entry, Record
from .sets.dataset import Count, Dataset
from .sets.layout import DISTRACTOR
from .sets.table import TABLE
from .walk import images_below, is_map


def table(entries: Sequence[Entry], dataset: Dataset | None = None) -> list[str]:
    """Return a line for each split: images, identities without distractors, cameras, and the published counts."""
    published = dataset.published if dataset else {}
    tracked = any(entry.tracklet for entry in entries)
    header = f"{'split':12}{'images':>10}{'identities':>12}" + f"{'tracklets':>11}" * tracked + f"{'cameras':>9}"
    header += f"{'published:':>13}{'images':>10}{'identities':>12}" * bool(published)
    lines = [header + f"{'tracklets':>11}" * (tracked and bool(published))]
    for split in dict.fromkeys([*(entry.split for entry in entries), *published]):
        members = [entry for entry in entries if entry.split == split]
        counted = count(members)
        line = f"{split:12}{_numbers(counted, tracked)}{len({entry.camid for entry in members}):9}"
        if split in published:
            line += f"{'':13}{_numbers(published[split], tracked)}"
        lines.append(line)
    return lines


def _numbers(count: Count, tracked: bool) -> str:
    """Return a count in the columns of the table; "-" for a number that is unknown."""
    images, identities, tracklets = (
        "-" if number is None else str(number) for number in (count.images, count.identities, count.tracklets)
    )
    return f"{images:>10}{identities:>12}" + f"{tracklets:>11}" * tracked


def plain(entries: Sequence[Entry], dataset: Dataset | None = None) -> list[dict[str, Any]]:
    """Return a row for each split: images, identities without distractors, tracklets if it has any, and cameras.

    With a dataset, a split whose counts are published has them too, without unknown numbers.
    """
    rows = []
    published = dataset.published if dataset else {}
    for split in dict.fromkeys([*(entry.split for entry in entries), *published]):
        members = [entry for entry in entries if entry.split == split]
        numbers = {
            name: number for name, number in dataclasses.asdict(count(members)).items() if name != "tracklets" or number
        }
        rows.append({"split": split, **numbers, "cameras": len({entry.camid for entry in members})})
        if split in published:
            known = dataclasses.asdict(published[split])
            rows[-1]["published"] = {name: number for name, number in known.items() if number is not None}
    return rows


def count(entries: Sequence[Entry]) -> Count:
    """Count images, identities without distractors, and tracklets."""
    identities = {entry.pid for entry in entries} - {DISTRACTOR}
    return Count(len(entries), len(identities), len({entry.tracklet for entry in entries} - {0}))


def deviations(entries: Sequence[Entry], dataset: Dataset) -> list[str]:
    """Return where the counts differ from the published ones: "train has 5 images, 12,936 were published"."""
    parts = [(f"{split} has", [e for e in entries if e.split == split], n) for split, n in dataset.published.items()]
    if dataset.total:
        parts.append(("there are", list(entries), dataset.total))
    texts = []
    for subject, members, published in parts:
        counted = dataclasses.asdict(count(members))
        for name, number in dataclasses.asdict(published).items():
            if number not in (None, counted[name]):
                texts.append(f"{subject} {counted[name]:,} {name}, {number:,} were published")
    cameras = len({entry.camid for entry in entries})
    if dataset.cameras and cameras != dataset.cameras:
        texts.append(f"there are {cameras} cameras, {dataset.cameras} were published")
    return texts


def missing(entries: Sequence[Entry], root: Path) -> str | None:
    """Return how many listed image files are missing, as text; None if all are there.

    A dataset that has lists of its images can be listed before it is unpacked.
    """
    absent = [entry.key for entry in entries if not (root / entry.key).is_file()]
    return f"{len(absent):,} of {len(entries):,} listed images are missing, first {absent[0]}" if absent else None


def repeated(records: Sequence[Record]) -> str | None:
    """Return how many test images have the very bytes of a training image, as text; None if none has.

    An evaluation on images that were trained on measures nothing.
    """
    trained = {record.digest: record.key for record in records if record.split == "train"}
    pairs = [
        (record.key, trained[record.digest])
        for record in records
        if record.split in ("query", "gallery") and record.digest in trained
    ]
    if not pairs:
        return None
    return (
        f"{len(pairs):,} images of query and gallery are, byte for byte, training images too, first {pairs[0][0]} and "
        f"{pairs[0][1]}. Remove them from one of the two: results on images that were trained on are too good."
    )


def unlisted(entries: Sequence[Entry], root: Path) -> str | None:
    """Return how many images a folder has that its `dataset.csv` does not use, as text; None if there is no such."""
    if not (root / TABLE).is_file():
        return None
    known = {entry.key for entry in entries}
    rest = [name for name in images_below(root) if name not in known and not is_map(name)]
    return f"{len(rest):,} images are not in {root / TABLE}, or are junk there, first {rest[0]}" if rest else None


def measurable(entries: Sequence[Entry]) -> bool:
    """Return whether at least one query has a correct match in the gallery, from another camera."""
    return len(_unmatched(entries)) < sum(entry.split == "query" for entry in entries)


def unmatched(entries: Sequence[Entry]) -> str | None:
    """Return how many queries have no correct match from another camera, and what to do, as text; None if all have.

    A gallery image by the query's own camera is no correct match: it is often the next frame of the same video.
    """
    queries = _unmatched(entries)
    if not queries:
        return None
    if measurable(entries):
        total = sum(entry.split == "query" for entry in entries)
        return (
            f"{len(queries)} of {total} queries have no gallery image of their person from another camera, "
            f"first {queries[0].key}: the evaluation leaves them out."
        )
    if not {entry.pid for entry in queries} & {entry.pid for entry in entries if entry.split == "gallery"}:
        return (
            f"The gallery has no image of any person of the {len(queries)} queries: nothing can be evaluated. "
            "Add other images of these persons with the split 'gallery'."
        )
    if len({entry.camid for entry in entries}) == 1:
        return (
            "All images have the same camera number, and the evaluation counts only matches from another camera: "
            "nothing can be evaluated. Number the cameras, or evaluate without the camera rule, which is easier and "
            "not comparable with published results: --set evaluate.cameras=ignore"
        )
    return (
        "No query has a gallery image of its person from another camera: nothing can be evaluated. Check the splits "
        "and the camera numbers, or evaluate without the camera rule: --set evaluate.cameras=ignore"
    )


def _unmatched(entries: Sequence[Entry]) -> list[Entry]:
    """Return the queries whose person no other camera shows in the gallery."""
    cameras: dict[int, set[int]] = {}
    for entry in entries:
        if entry.split == "gallery":
            cameras.setdefault(entry.pid, set()).add(entry.camid)
    return [entry for entry in entries if entry.split == "query" and not cameras.get(entry.pid, set()) - {entry.camid}]
