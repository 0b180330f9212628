"""Stage two: from pictures and their I, U, V maps to a store of part pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import click
import joblib

from dsa_app.config import to_dict
from dsa_app.console import progress
from dsa_app.errors import DatasetError, StoreError
from dsa_data.records import Record, read_manifest
from dsa_data.stores.dsap import Chunk, DsapStore, write_dsap
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.pieces import Pieces
from dsa_data.stores.reuse import reusable

from . import piece
from .config import WarpConfig
from .piece import Share, Task, inputs_of
from .workers import workers

GROUP = 128  # pictures a piece: little work is lost by a kill, and a task is long against its dispatch


def build(
    manifest: Path,
    iuv: Path,
    out: Path,
    config: WarpConfig,
    root: Path,
    splits: Sequence[str] | None = None,
    jobs: int = 1,
    backend: str = "loky",
    scheduler: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Warp every picture into its 24 part pictures; return the file written.

    What `out` holds of unchanged pictures is copied, not warped again. The bytes are those of a build from nothing,
    whatever the number of workers and however often it was interrupted.

    Args:
        manifest, iuv: the records, and the store of their maps.
        root: the dataset's folder, which the keys are under.
        splits: only these; all by default.
        jobs, backend, scheduler: workers, joblib's name for their kind, and for "dask" the scheduler's address.
        overwrite: replace a store, or pieces, that other settings made.

    Raises:
        DatasetError, ImageError: if manifest, maps and pictures do not belong together.
        StoreError: for a damaged store of maps, or an `out` that other settings made.
        BusyError: if another process is building `out`.
        ConfigError: for a backend or a scheduler that cannot be had.
    """
    listed = read_manifest(manifest)
    with IuvStore(iuv) as maps:
        tasks = _tasks(read_manifest(manifest, splits) if splits else listed, maps, {record.key for record in listed})
        configuration = {"warp": to_dict(config), "maps": maps.header.configuration}
        header = Header(maps.header.dataset, configuration, inputs_of(tasks))
    remedy = f"Build it again: dsap build --dataset {header.dataset} --overwrite"
    with (
        Pieces(out.absolute(), configuration, overwrite) as pieces,
        reusable(out, DsapStore, header, remedy, overwrite, decisive=["warp"]) as before,
    ):
        kept = {task.key for task in tasks if before and _holds(before, task)}
        todo = [task for task in tasks if task.key not in kept]
        if kept:
            click.echo(f"{out}: {len(kept)} pictures are as they were, {len(todo)} to warp", err=True)
        groups = [tuple(todo[start : start + GROUP]) for start in range(0, len(todo), GROUP)]
        shares = [Share(root.absolute(), iuv.absolute(), config, group) for group in groups]
        with workers(jobs, backend, scheduler):
            fresh = _made(shares, pieces, len(todo))

            def write(path: Path) -> None:
                chunks = _in_order(tasks, kept, before, fresh)
                write_dsap(path, header, config.size, [task.key for task in tasks], chunks)

            pieces.assemble(write)
    return out


def _tasks(records: Sequence[Record], maps: IuvStore, known: set[str]) -> list[Task]:
    """Pair records with their maps; `known` are the keys of all splits.

    Raises DatasetError, naming the first picture, where manifest and maps do not belong together.
    """
    remedy = "Make the maps again, from the present manifest: densepose-extract run."
    lacking = [record.key for record in records if record.key not in maps]
    unknown = [key for key in maps.keys if key not in known]
    if lacking:
        raise DatasetError(f"{maps.path} lacks the maps of {len(lacking)} pictures, first {lacking[0]}. {remedy}")
    if unknown:
        raise DatasetError(
            f"{maps.path} holds maps of {len(unknown)} pictures that the manifest does not list, first {unknown[0]}. "
            f"{remedy}"
        )
    tasks = []
    for record in records:
        place = maps.index(record.key)
        height, width = maps.shapes[place]
        if maps.digests[place] != record.digest:
            raise DatasetError(f"{maps.path}: {record.key} has changed since its map was made. {remedy}")
        if (height, width) != (record.height, record.width):
            raise DatasetError(
                f"{maps.path}: {record.key} is {record.width}x{record.height}, its map {width}x{height}. {remedy}"
            )
        tasks.append(Task(record.key, record.digest, maps.checksums[place]))
    return tasks


def _holds(store: DsapStore, task: Task) -> bool:
    """Tell whether a store holds this picture, warped from this map, undamaged."""
    if task.key not in store:
        return False
    place = store.index(task.key)
    if (store.digests[place], store.maps[place]) != (task.digest, task.map):
        return False
    try:
        _, valid = store.read(place)
    except StoreError:
        return False
    return (valid.sum(axis=(1, 2)) == store.counts[place]).all()


def _made(shares: Sequence[Share], pieces: Pieces, total: int) -> Iterator[Chunk]:
    """Have the workers of the present joblib backend make every piece; yield the chunks as they are ready, in order."""
    helper = Pieces(pieces.out, pieces.configuration, lock=False)  # the lock stays here
    work: Callable[..., Share] = joblib.delayed(piece.make)
    parallel = joblib.Parallel(return_as="generator", batch_size=1)
    made: Iterable[Share] = parallel(work(share, helper) for share in shares)
    for share in progress(made, total, "warping", each=0):
        yield from piece.read(share, pieces)


def _in_order(
    tasks: Sequence[Task], kept: set[str], before: DsapStore | None, fresh: Iterator[Chunk]
) -> Iterator[Chunk]:
    """Yield a chunk for every task: that of the store before if it was kept, else the next fresh one."""
    for task in tasks:
        yield before.chunk(before.index(task.key)) if before and task.key in kept else next(fresh)
    surplus = list(fresh)  # asks once more, so that the workers come to their end
    assert not surplus, "as many fresh chunks as tasks that were not kept"
