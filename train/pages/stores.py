"""What the report shows of a dataset: its images by split and camera, persons detected, and charts seen."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from dsa_app.errors import StoreError
from dsa_data.records import Record
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import STATUS, IuvStore
from dsap.layout import Turns

S = TypeVar("S", IuvStore, DsapStore)


@dataclasses.dataclass(frozen=True)
class Split:
    """The images of a split, and its identities, distractors (0) and junk (-1) apart."""

    name: str
    images: int
    identities: int
    cameras: int


@dataclasses.dataclass(frozen=True)
class DatasetFindings:
    """A dataset and what was extracted of it.

    Args:
        splits: its splits by name.
        statuses: images of each status of stage one by camera, as in {1: {"found": 9, "none": 1}}; None without maps.
        coverage: share of the images with part images in which each chart is visible, (24,); None without them.
        maps: where the maps came from, in words.
        turns: how part images are rotated on a body.
        store: of the part images; None where it is absent, or is of other images than the manifest lists.
        notes: why a store is not used.
    """

    splits: Sequence[Split]
    statuses: Mapping[int, Mapping[str, int]] | None
    coverage: np.ndarray | None
    maps: str
    turns: Turns
    store: DsapStore | None
    notes: Sequence[str]


def read_dataset(records: Sequence[Record], iuv: Path, dsap: Path) -> DatasetFindings:
    """Return what is known of a dataset. A store that is absent, damaged or of other images gives a note.

    Args:
        records: of the manifest.
        iuv, dsap: the stores of stages one and two, which need not exist.
    """
    notes: list[str] = []
    maps, parts = _open(iuv, IuvStore, records, notes), _open(dsap, DsapStore, records, notes)
    configuration = maps.header.configuration if maps else parts.header.configuration.get("maps", {}) if parts else {}
    engine = str(configuration.get("engine", ""))
    turns: Turns = "synthetic" if engine == "rendered" else "densepose"
    if parts and parts.header.configuration.get("warp", {}).get("parts") == "coarse":
        turns = "none"
    return DatasetFindings(
        _splits(records),
        _statuses(maps, records) if maps else None,
        (parts.counts > 0).mean(axis=0) if parts and len(parts) else None,
        engine,
        turns,
        parts,
        notes,
    )


def _open(path: Path, kind: type[S], records: Sequence[Record], notes: list[str]) -> S | None:
    """Return an open store; None, and a note, if it cannot be used."""
    if not path.exists():
        notes.append(f"{path} does not exist: nothing of it is shown.")
        return None
    try:
        store = kind(path)
    except StoreError as error:
        notes.append(str(error))
        return None
    if missing := sum(record.key not in store for record in records):
        notes.append(f"{path} lacks {missing} images of the manifest: nothing of it is shown.")
        return None
    return store


def _splits(records: Sequence[Record]) -> list[Split]:
    found = []
    for name in sorted({record.split for record in records}):
        own = [record for record in records if record.split == name]
        people = {record.pid for record in own if name == "train" or record.pid > 0}
        found.append(Split(name, len(own), len(people), len({record.camid for record in own})))
    return found


def _statuses(maps: IuvStore, records: Sequence[Record]) -> dict[int, dict[str, int]]:
    counts: dict[int, Counter[str]] = {}
    for record in records:
        counts.setdefault(record.camid, Counter())[maps.statuses[maps.index(record.key)]] += 1
    return {
        camid: {status: count[status] for status in STATUS if count[status]} for camid, count in sorted(counts.items())
    }
