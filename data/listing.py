"""Writing the manifest of a dataset, and one for each of its other protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import sets
from .records import Entry, Record, index, write_manifest

PROTOCOLS = "protocols"  # folder next to the manifest


def list_dataset(name: str, manifest: Path, jobs: int = 1) -> list[Record]:
    """Write a dataset's manifest and those of its other protocols; return the records of the first.

    Each image is read once, however many protocols list it.

    Raises:
        DatasetError: for a dataset that is missing or has not the expected layout.
        ImageError: for an image that is missing or does not decode.
    """
    dataset, root = sets.dataset(name), sets.dataset_root(name)
    records = index(root, sets.scan(name), jobs)
    protocols = dataset.protocols(root) if dataset.protocols else {}
    read = {record.key: record for record in records}
    unread = {entry.key: entry for entries in protocols.values() for entry in entries if entry.key not in read}
    if unread:
        read |= {record.key: record for record in index(root, list(unread.values()), jobs)}
    write_manifest(records, manifest)
    _write_protocols(manifest.parent / PROTOCOLS, protocols, read)
    return records


def _write_protocols(folder: Path, protocols: Mapping[str, Sequence[Entry]], read: Mapping[str, Record]) -> None:
    for old in folder.glob("*.csv"):
        if old.stem not in protocols:
            old.unlink(missing_ok=True)
    for name, entries in protocols.items():
        records = [dataclasses.replace(read[entry.key], **dataclasses.asdict(entry)) for entry in entries]
        write_manifest(records, folder / f"{name}.csv")
