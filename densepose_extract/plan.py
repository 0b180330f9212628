"""The plan of a store: batches of images whose maps are made together, fixed before processes share them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dsa_data.records import Record
from dsa_data.stores.header import Header, digest_of

from .engines.engine import Engine
from .engines.maps import MapFile, Maps

MAPS = 64  # maps in a batch that is read from files


@dataclass(frozen=True)
class Batch:
    """Images whose maps are made together, and kept in one piece until the store is assembled.

    Attributes:
        name: of the piece: SHA-256 of the engine's identity, the images and their batch digests, shortened.
        indices: of the images in the manifest.
        records: of the images.
        batch_digests: for each image, the SHA-256 of all that decides its map: all images of the network's batch, or
            the image and the file of its map.
        map_files: for each image, the file of its map; empty where a network computes the maps.
    """

    name: str
    indices: tuple[int, ...]
    records: tuple[Record, ...]
    batch_digests: tuple[str, ...]
    map_files: tuple[MapFile, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)


@dataclass(frozen=True)
class Plan:
    """Everything that a store is made from.

    Attributes:
        header: of the store, if no image has to be skipped.
        records: of all images, in the order of the manifest.
        batches: every image is in exactly one.
    """

    header: Header
    records: tuple[Record, ...]
    batches: tuple[Batch, ...]


def make_plan(records: Sequence[Record], dataset: str, engine: Engine | Maps) -> Plan:
    """Divide the images into batches, and state in a header what the store will be made from.

    A pure function of its arguments and, for maps that are read, of their files. Raises ImageError for a map whose file
    cannot be read.
    """
    batches = tuple(_read_batches(records, engine) if isinstance(engine, Maps) else _network_batches(records, engine))
    digests: dict[int, str] = {}
    for batch in batches:
        digests.update(zip(batch.indices, batch.batch_digests, strict=True))
    inputs = inputs_digest(records, [digests[index] for index in range(len(records))])
    configuration = json.loads(json.dumps(engine.identity))  # plain values, as a store gives them back
    return Plan(Header(dataset, configuration, inputs), tuple(records), batches)


def batch_digest(records: Iterable[Record]) -> str:
    """Return the SHA-256 of all that decides the maps of a network's batch: its images, in their order."""
    return digest_of(record.digest for record in records)


def inputs_digest(records: Sequence[Record], batch_digests: Sequence[str]) -> str:
    """Return the SHA-256 of everything that a store is made from: keys, images, and batch digests."""
    return digest_of(
        f"{record.key} {record.digest} {digest}" for record, digest in zip(records, batch_digests, strict=True)
    )


def _network_batches(records: Sequence[Record], engine: Engine) -> Iterable[Batch]:
    """Yield a batch for each of the network's."""
    for indices in engine.batches([(record.height, record.width) for record in records]):
        digest = batch_digest(records[index] for index in indices)
        yield _batch(records, indices, [digest] * len(indices), engine)


def _read_batches(records: Sequence[Record], engine: Maps) -> Iterable[Batch]:
    """Yield batches of `MAPS` images in the order of the manifest."""
    files = [engine.find(record) for record in records]
    digests = [digest_of([record.digest, file.digest]) for record, file in zip(records, files, strict=True)]
    for start in range(0, len(records), MAPS):
        stop = min(start + MAPS, len(records))
        yield _batch(records, range(start, stop), digests[start:stop], engine, files[start:stop])


def _batch(
    records: Sequence[Record],
    indices: Sequence[int],
    digests: Sequence[str],
    engine: Engine | Maps,
    files: Sequence[MapFile] = (),
) -> Batch:
    chosen = tuple(records[index] for index in indices)
    lines = [f"{record.key} {digest}" for record, digest in zip(chosen, digests, strict=True)]
    name = digest_of([json.dumps(engine.identity, sort_keys=True), *lines])[:32]
    return Batch(name, tuple(indices), chosen, tuple(digests), tuple(files))
