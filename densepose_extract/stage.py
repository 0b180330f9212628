"""Stage one: from images to a store of their I, U, V maps, with any engine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dsa_app.console import progress
from dsa_app.errors import DatasetError
from dsa_app.process_group import ProcessGroup
from dsa_data.records import read_manifest
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.pieces import Pieces, delete_leftovers
from dsa_data.stores.reuse import reusable

from . import reuse
from .assemble import assemble, delete_incomplete, find_sources, piece_name, write_skipped
from .engines.engine import Engine
from .engines.maps import Maps
from .make_maps import ImageReader, make_maps
from .plan import Batch, make_plan


@dataclass(frozen=True)
class Outcome:
    """What a run did.

    Attributes:
        path: the store.
        made: maps that this process made, in `seconds`; all others existed.
        seconds: that making them took.
        skipped: why images could not be read, by key.
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
    """Write the maps of all images of a manifest to the store `out`.

    Maps in an existing store, of the same images by the same engine, are reused. The bytes are those of a run from
    nothing, for any number of processes and after any number of interruptions.

    Args:
        root: the folder that the manifest's keys are relative to.
        jobs: see `make_maps`.
        overwrite: replace a store or pieces of other settings, and a damaged store or map.
        skip_broken: give an image that cannot be read an empty map; `<out>.skipped.csv` has the reasons.
        group: the processes that share the work; this one alone by default.

    Raises:
        ImageError: for an image or a map that cannot be read.
        StoreError: if `out` is damaged, or was made with other settings.
        BusyError: if another process is writing `out`, or was killed while it had it open for writing.
    """
    group = group or ProcessGroup()
    out = out.absolute()
    records = read_manifest(manifest)
    if not records:
        raise DatasetError(f"{manifest} lists no image. Make it again: dsa-data prepare.")
    plan = make_plan(records, dataset, engine)
    remedy = "Replace it with --overwrite, or keep both: --out OTHER.h5"
    with reusable(out, IuvStore, plan.header, remedy, overwrite, report=group.is_main) as existing:
        reused, to_make = reuse.split(plan.batches, existing, verify=overwrite)
        if existing and not to_make and existing.header.inputs == plan.header.inputs:
            if group.is_main:
                delete_leftovers(out, plan.header.configuration)
            return Outcome(out, changed=False)
        with Pieces(out, plan.header.configuration, overwrite, lock=group.is_main) as pieces:
            if group.is_main:
                delete_incomplete(pieces)
            group.wait()  # until the main process has the lock, and has deleted pieces that cannot be used
            start = time.monotonic()
            # The share of a process depends on the plan alone, not on what others have made so far.
            share = [batch for batch in to_make[group.rank :: group.size] if not pieces.has(batch.name)]
            made = sum(len(batch) for batch in share)
            written = _write_pieces(share, pieces, ImageReader(root, skip_broken), engine, jobs)
            for _ in progress(written, made, "extracting", each=0) if group.is_main else written:
                pass
            seconds = time.monotonic() - start
            group.wait()  # until all processes have made their pieces
            if not group.is_main:
                return Outcome(out, made, seconds)
            sources = find_sources(plan, existing, reused, pieces, to_make)
            assemble(plan, sources, pieces)
    return Outcome(out, made, seconds, write_skipped(out, records, sources))


def _write_pieces(
    batches: Sequence[Batch], pieces: Pieces, reader: ImageReader, engine: Engine | Maps, jobs: int
) -> Iterator[Batch]:
    """Make the maps of batches and write a piece for each; yield the batches as they are done."""
    for batch, arrays in make_maps(batches, reader, engine, jobs):
        pieces.write(piece_name(batch, skipped=any(arrays["reason"])), **arrays)
        yield batch
