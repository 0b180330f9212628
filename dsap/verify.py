"""A complete check of a store of part images: every fault, with the image that it concerns."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dsa_app.console import progress
from dsa_app.errors import StoreError
from dsa_data.charts import CHARTS, NO_MAP
from dsa_data.records import Record
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore

from .config import LARGEST, SMALLEST
from .plan import WarpItem, inputs_digest


@dataclasses.dataclass(frozen=True)
class Fault:
    """A fault in a store.

    Attributes:
        key: of the image; empty if the fault concerns the whole store.
        what: the fault, in words.
    """

    key: str
    what: str

    def __str__(self) -> str:
        return f"{self.key or 'the store'}: {self.what}"


def verify(path: Path, records: Sequence[Record] | None = None, maps: IuvStore | None = None) -> Iterator[Fault]:
    """Yield every fault of a store.

    Args:
        path: the store.
        records: of the images that it should hold, of all splits or of some.
        maps: the store that it should have been warped with.

    A store that does not open has one fault. Every image is read once, and none is kept in memory.
    """
    try:
        store = DsapStore(path)
    except StoreError as error:
        yield Fault("", str(error))
        return
    with store:
        yield from _header(store)
        if records is not None:
            yield from _keys(store, records)
        digests = {record.key: record.digest for record in records or ()}
        for index in progress(range(len(store)), len(store), "verifying"):
            yield from _image(store, index, digests, maps)


def _header(store: DsapStore) -> Iterator[Fault]:
    size = store.header.configuration.get("warp", {}).get("size")
    if size != store.size or not SMALLEST <= store.size <= LARGEST:
        yield Fault("", f"has the attribute size {size}, but texels of size {store.size}")
    if store.keys != sorted(set(store.keys)):
        yield Fault("", "has keys that are not sorted, or a key twice")
    if inputs_digest(map(WarpItem, store.keys, store.digests, store.maps)) != store.header.inputs:
        yield Fault("", "has other images or maps than its attribute inputs states")


def _keys(store: DsapStore, records: Sequence[Record]) -> Iterator[Fault]:
    listed = {record.key for record in records}
    yield from (Fault(key, "is not in the store") for key in sorted(listed) if key not in store)
    yield from (Fault(key, "is not in the manifest") for key in store.keys if key not in listed)


def _image(store: DsapStore, index: int, digests: dict[str, str], maps: IuvStore | None) -> Iterator[Fault]:
    key = store.keys[index]
    try:
        texels, valid = store.read(index)
    except StoreError as error:
        yield Fault(key, str(error))
        return
    counts = valid.reshape(CHARTS, -1).sum(axis=1)
    if (counts != store.counts[index]).any():
        yield Fault(key, f"has {counts.sum()} valid texels, but counts by chart of {store.counts[index].sum()}")
    if texels[~valid].any():
        yield Fault(key, "has colours in texels that are not valid")
    if store.has_charts:
        yield from _charts(store, index, counts)
    if store.has_confidence:
        yield from _confidence(store, index, valid)
    if digests.get(key, store.digests[index]) != store.digests[index]:
        yield Fault(key, "was warped from another image file")
    if maps and (key not in maps or maps.checksums[maps.index(key)] != store.maps[index]):
        yield Fault(key, "was warped with another I, U, V map")


def _confidence(store: DsapStore, index: int, valid: np.ndarray) -> Iterator[Fault]:
    """Yield the faults of one image's confidences: those of texels, and those of its chart image."""
    key = store.keys[index]
    try:
        confidence = store.read_confidence(index)
        store.read_chart_confidence(index)
    except StoreError as error:
        yield Fault(key, str(error))
        return
    if confidence[~valid].any():
        yield Fault(key, "has a confidence in texels that are not valid")


def _charts(store: DsapStore, index: int, counts: np.ndarray) -> Iterator[Fault]:
    """Yield the faults of one chart image: a chart in it is one with texels, and the reverse.

    Coarse parts may miss a chart of few pixels, none of which is at the middle of a texel.
    """
    key = store.keys[index]
    try:
        present = set(np.unique(store.read_charts(index)).tolist())
    except StoreError as error:
        yield Fault(key, str(error))
        return
    warped = set((np.flatnonzero(counts) + 1).tolist())
    if present == {NO_MAP}:
        present = set()
    elif max(present) > CHARTS:
        yield Fault(key, f"has the value {max(present)} in its chart image; charts are 1 to {CHARTS}")
        return
    fine = store.header.configuration.get("warp", {}).get("parts", "fine") == "fine"
    if warped - present or (fine and present - {0} - warped):
        yield Fault(key, "has other charts in its chart image than in its texels")
