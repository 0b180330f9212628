"""A dataset's manifest, and one for each further protocol that it has, from its folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import sets
from .records import Entry, Record, index, write_manifest

PROTOCOLS = "protocols"  # folder beside the manifest


def list_dataset(name: str, manifest: Path, jobs: int = 1) -> list[Record]:
    """Write a dataset's manifest and those of its further protocols; return the records of the former.

    Every picture is read once, however many protocols list it.

    Raises:
        DatasetError, ImageError: for what is missing or does not hold.
    """
    dataset, root = sets.dataset(name), sets.dataset_root(name)
    records = index(root, sets.scan(name), jobs)
    more = dataset.more(root) if dataset.more else {}
    read = {record.key: record for record in records}
    unread = {entry.key: entry for entries in more.values() for entry in entries if entry.key not in read}
    if unread:
        read |= {record.key: record for record in index(root, list(unread.values()), jobs)}
    write_manifest(records, manifest)
    _write_protocols(manifest.parent / PROTOCOLS, more, read)
    return records


def _write_protocols(folder: Path, more: Mapping[str, Sequence[Entry]], read: Mapping[str, Record]) -> None:
    for old in folder.glob("*.csv"):
        if old.stem not in more:
            old.unlink()
    for name, entries in more.items():
        records = [dataclasses.replace(read[entry.key], **dataclasses.asdict(entry)) for entry in entries]
        write_manifest(records, folder / f"{name}.csv")
