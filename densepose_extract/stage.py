"""Stage one: from pictures to a store of their I, U, V maps, whichever engine makes them."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dsa_app.console import progress
from dsa_app.errors import DatasetError
from dsa_app.process_group import ProcessGroup
from dsa_data.records import Record, read_manifest
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvStore, write_iuv
from dsa_data.stores.pieces import Pieces
from dsa_reid.atomic import atomic

from . import takeover
from .engines.engine import Engine
from .engines.maps import Maps
from .packed import Packed
from .plan import Piece, inputs_digest, plan, units_of
from .work import Pictures, make

INCOMPLETE = "-incomplete"  # ends the name of a piece some of whose pictures were skipped
Source = tuple[IuvStore | Packed, int]  # what holds a map, and where in it


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        path: the store.
        made: maps that this process made, in `seconds`; the others were there.
        skipped: why pictures could not be read, by key.
        changed: whether the store was written; False if it was up to date.
    """

    path: Path
    made: int = 0
    seconds: float = 0.0
    skipped: dict[str, str] = field(default_factory=dict)
    changed: bool = True


def extract(
    manifest: Path,
    root: Path,
    out: Path,
    dataset: str,
    engine: Engine | Maps,
    jobs: int = 1,
    overwrite: bool = False,
    skip_broken: bool = False,
    group: ProcessGroup | None = None,
) -> Outcome:
    """Make or find the map of every picture, and write all to `out`.

    Maps that `out` holds already, of the same pictures by the same engine, are taken over. The bytes are those of a run
    from nothing, whatever the number of processes and however often it was killed.

    Args:
        root: the folder that the manifest's keys are under.
        jobs: see `work.make`.
        overwrite: replace a store, or pieces, that other settings made, and mend a damaged store.
        skip_broken: give a picture that cannot be read an empty map; `<out>.skipped.csv` tells why.
        group: the processes that share the work; this one alone by default.

    Raises:
        ImageError: for a picture or a map that cannot be read.
        StoreError: if `out` is damaged, or made with other settings.
        BusyError: if another process is making `out`.
    """
    group = group or ProcessGroup()
    out = out.absolute()
    records = read_manifest(manifest)
    if not records:
        raise DatasetError(f"{manifest} lists no image. Make it again: dsa-data prepare.")
    pieces = plan(records, engine)
    identity = json.loads(json.dumps(engine.identity))
    before = takeover.before(out, dataset, identity, overwrite)
    kept, todo = takeover.sort_out(before, records, pieces, verify=overwrite)
    if before and not todo and before.header.inputs == inputs_digest(records, units_of(pieces)):
        if group.is_main:
            takeover.drop_leftovers(out, identity)
        return Outcome(out, changed=False)
    with Pieces(out, identity, overwrite, lock=group.is_main) as store:
        if group.is_main:
            _drop_incomplete(store)
        group.wait()  # for the lock, and until pieces of other settings are gone
        start = time.monotonic()
        mine = [piece for piece in todo[group.rank :: group.size] if not store.has(piece.name)]
        made = _make(mine, store, Pictures(records, root, skip_broken), engine, jobs, group)
        seconds = time.monotonic() - start
        group.wait()  # for everybody's pieces
        if not group.is_main:
            return Outcome(out, made, seconds)
        sources = _sources(before, kept, store, todo)
        _assemble(store, dataset, records, sources)
    if before:
        before.close()
    return Outcome(out, made, seconds, _note_skipped(out, records, sources))


def _make(
    pieces: Sequence[Piece], store: Pieces, pictures: Pictures, engine: Engine | Maps, jobs: int, group: ProcessGroup
) -> int:
    """Make pieces and keep them; return the number of maps."""
    total = sum(len(piece.places) for piece in pieces)
    done = make(pieces, pictures, engine, jobs)
    for piece, arrays in progress(done, total, "extracting") if group.is_main else done:
        store.write(piece.name + INCOMPLETE if any(arrays["reason"]) else piece.name, **arrays)
    return total


def _drop_incomplete(store: Pieces) -> None:
    """Forget pieces with skipped pictures: what was wrong may be mended, or no longer be allowed."""
    for path in store.folder.glob(f"*{INCOMPLETE}.npz"):
        path.unlink()


def _sources(before: IuvStore | None, kept: Mapping[int, int], store: Pieces, made: Sequence[Piece]) -> list[Source]:
    """Return what holds each picture's map, in the order of the manifest."""
    sources: dict[int, Source] = {}
    if before:
        sources.update((place, (before, there)) for place, there in kept.items())
    for piece in made:
        packed = Packed(store.read(piece.name if store.has(piece.name) else piece.name + INCOMPLETE))
        sources.update((place, (packed, there)) for there, place in enumerate(piece.places))
    return [sources[place] for place in range(len(sources))]


def _assemble(store: Pieces, dataset: str, records: Sequence[Record], sources: Sequence[Source]) -> None:
    """Write the store from the maps that are kept and those that were made."""
    inputs = inputs_digest(records, [holder.batch_digests[there] for holder, there in sources])
    header = Header(dataset, store.configuration, inputs)
    shapes = np.array([(record.height, record.width) for record in records])
    keys = [record.key for record in records]
    maps = (holder.read(there) for holder, there in sources)

    def write(path: Path) -> None:
        write_iuv(path, header, keys, shapes, progress(maps, len(keys), "writing"))

    store.assemble(write)


def _note_skipped(out: Path, records: Sequence[Record], sources: Sequence[Source]) -> dict[str, str]:
    """Write down, beside the store, which pictures were skipped and why; return it."""
    skipped = {
        record.key: holder.reasons[there]
        for record, (holder, there) in zip(records, sources, strict=True)
        if isinstance(holder, Packed) and holder.reasons[there]
    }
    note = out.with_suffix(".skipped.csv")
    if skipped:
        with atomic(note) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("key", "reason"), *skipped.items()])
    else:
        note.unlink(missing_ok=True)
    return skipped
