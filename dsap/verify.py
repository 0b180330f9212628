"""Reads a store of part pictures through and says what is wrong with which record."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsa_app.console import progress
from dsa_app.errors import StoreError
from dsa_data.charts import CHARTS
from dsa_data.records import Record
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore

from .config import LARGEST, SMALLEST
from .piece import Task, inputs_of


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something wrong: with the picture `key`, or with the whole store where that is empty."""

    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key or 'the store'}: {self.what}"


def verify(path: Path, records: Sequence[Record] | None = None, maps: IuvStore | None = None) -> Iterator[Fault]:
    """Yield every fault of a store.

    Args:
        path: the store.
        records: what it should hold, of all splits or of some.
        maps: what it should have been warped from.

    A store that does not open has one fault. No picture is looked at more than once, and none is kept in memory.
    """
    try:
        store = DsapStore(path)
    except StoreError as error:
        yield Fault("", str(error))
        return
    yield from _header(store)
    if records is not None:
        yield from _keys(store, records)
    digests = {record.key: record.digest for record in records or ()}
    for place in progress(range(len(store)), len(store), "verifying"):
        yield from _picture(store, place, digests, maps)
    store.close()


def _header(store: DsapStore) -> Iterator[Fault]:
    size = store.header.configuration.get("warp", {}).get("size")
    if size != store.size or not SMALLEST <= store.size <= LARGEST:
        yield Fault("", f"its attributes tell size {size}, its texels have {store.size}")
    if store.keys != sorted(set(store.keys)):
        yield Fault("", "its keys are not sorted, or one is there twice")
    if inputs_of(map(Task, store.keys, store.digests, store.maps)) != store.header.inputs:
        yield Fault("", "its pictures and maps are not those that its attributes tell")


def _keys(store: DsapStore, records: Sequence[Record]) -> Iterator[Fault]:
    listed = {record.key for record in records}
    yield from (Fault(key, "is not in the store") for key in sorted(listed) if key not in store)
    yield from (Fault(key, "is not in the manifest") for key in store.keys if key not in listed)


def _picture(store: DsapStore, place: int, digests: dict[str, str], maps: IuvStore | None) -> Iterator[Fault]:
    key = store.keys[place]
    try:
        texels, valid = store.read(place)
    except StoreError as error:
        yield Fault(key, str(error))
        return
    counts = valid.reshape(CHARTS, -1).sum(axis=1)
    if (counts != store.counts[place]).any():
        yield Fault(key, f"has {counts.sum()} valid texels, its counts by chart tell {store.counts[place].sum()}")
    if texels[~valid].any():
        yield Fault(key, "has colour in texels that are not valid")
    if digests.get(key, store.digests[place]) != store.digests[place]:
        yield Fault(key, "was another picture when it was warped")
    if maps and (key not in maps or maps.checksums[maps.index(key)] != store.maps[place]):
        yield Fault(key, "was warped from another I, U, V map")
