"""What is computed together and kept together: fixed before the work is shared out among processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from dsa_data.records import Record
from dsa_data.stores.header import digest_of

from .engines.engine import Engine
from .engines.maps import MapFile, Maps

MAPS = 64  # ready maps in a piece


@dataclass(frozen=True)
class Piece:
    """Pictures whose maps are kept in one file until the store is assembled.

    Attributes:
        places: of the pictures in the manifest.
        units: for each, the digest of all that decides its map: its picture, and its map's file or its batch.
        name: tells this piece, made by this engine, from any other.
        files: of ready maps; none where a network computes them.
    """

    places: tuple[int, ...]
    units: tuple[str, ...]
    name: str
    files: tuple[MapFile, ...] = ()


def plan(records: Sequence[Record], engine: Engine | Maps) -> list[Piece]:
    """Divide the pictures into pieces: a network's batch each, or a number of ready maps.

    A pure function of the records, the engine's settings and, for ready maps, their files. Raises ImageError for a
    map whose file cannot be read.
    """
    if isinstance(engine, Maps):
        return _of_maps(records, engine)
    pieces = []
    for batch in engine.batches([(record.height, record.width) for record in records]):
        unit = batch_unit([records[place] for place in batch])
        pieces.append(_piece(records, batch, [unit] * len(batch), engine))
    return pieces


def _of_maps(records: Sequence[Record], engine: Maps) -> list[Piece]:
    files = [engine.find(record) for record in records]
    units = [digest_of([record.digest, file.digest]) for record, file in zip(records, files, strict=True)]
    pieces = []
    for start in range(0, len(records), MAPS):
        places = range(start, min(start + MAPS, len(records)))
        chosen = [files[place] for place in places]
        pieces.append(_piece(records, places, [units[place] for place in places], engine, chosen))
    return pieces


def _piece(
    records: Sequence[Record],
    places: Sequence[int],
    units: Sequence[str],
    engine: Engine | Maps,
    files: Sequence[MapFile] = (),
) -> Piece:
    lines = [f"{records[place].key} {unit}" for place, unit in zip(places, units, strict=True)]
    name = digest_of([json.dumps(engine.identity, sort_keys=True), *lines])[:32]
    return Piece(tuple(places), tuple(units), name, tuple(files))


def batch_unit(records: Sequence[Record]) -> str:
    """Return the digest of all that decides the maps of a batch: its pictures, in their order."""
    return digest_of(record.digest for record in records)


def units_of(pieces: Sequence[Piece]) -> list[str]:
    """Return what decides the map of each picture, in the order of the manifest."""
    units = {place: unit for piece in pieces for place, unit in zip(piece.places, piece.units, strict=True)}
    return [units[place] for place in range(len(units))]


def inputs_digest(records: Sequence[Record], units: Sequence[str]) -> str:
    """Return the digest of everything that a store is made from: keys, pictures, and what decides each map."""
    return digest_of(f"{r.key} {r.digest} {unit}" for r, unit in zip(records, units, strict=True))
