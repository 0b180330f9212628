"""Stage two: from images and their I, U, V maps to a store of part images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import joblib

from dsa_app.console import progress, status
from dsa_app.errors import StoreError
from dsa_app.parallel import dispatch
from dsa_data.stores.dsap import Chunk, DsapStore, write_dsap
from dsa_data.stores.pieces import Pieces
from dsa_data.stores.reuse import reusable

from .config import WarpConfig
from .piece import WarpJob, make_piece, read_piece
from .plan import WarpItem, make_plan
from .workers import workers

GROUP = 128  # images in a piece: few enough that an interruption loses little, many enough to outweigh the dispatch


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
    """Warp every image into its 24 part images; return the path of the store.

    Part images of unchanged images in an existing store are copied. The bytes are those of a build from nothing, for
    any number of workers and after any number of interruptions.

    Args:
        manifest: the list of the images.
        iuv: the store of their maps.
        root: the dataset's folder, which the manifest's keys are relative to.
        splits: only these; all by default.
        jobs: worker processes, negative as joblib counts.
        backend: joblib's name of the kind of workers.
        scheduler: for the backend "dask", the address of its scheduler.
        overwrite: replace a store or pieces of other settings, and a damaged store.

    Raises:
        DatasetError, ImageError: if manifest, maps and images do not belong together.
        StoreError: for a damaged store of maps, or an `out` of other settings.
        BusyError: if another process is building `out`, or a program has it open for writing.
        ConfigError: for a backend or a scheduler that cannot be used.
    """
    plan = make_plan(manifest, iuv, config, splits)
    items, header = plan.items, plan.header
    remedy = "Build it again: dsap build --overwrite"
    with (
        Pieces(out.absolute(), header.configuration, overwrite) as pieces,
        reusable(out, DsapStore, header, remedy, overwrite, decisive=["warp"]) as existing,
    ):
        unchanged = {item.key for item in items if existing and is_unchanged(item, existing, plan.confidence)}
        to_warp = [item for item in items if item.key not in unchanged]
        if unchanged:
            status(f"{out}: {len(unchanged)} images are unchanged, {len(to_warp)} to warp")
        groups = [tuple(to_warp[start : start + GROUP]) for start in range(0, len(to_warp), GROUP)]
        warp_jobs = [WarpJob(root.absolute(), iuv.absolute(), config, group, plan.confidence) for group in groups]
        with workers(jobs, backend, scheduler):
            warped = _warp_all(warp_jobs, pieces, len(to_warp))

            def write(path: Path) -> None:
                chunks = _in_order(items, unchanged, existing, warped)
                write_dsap(path, header, config.size, [item.key for item in items], chunks, plan.confidence)

            pieces.assemble(write)
    return out


def is_unchanged(item: WarpItem, store: DsapStore, confidence: bool = False) -> bool:
    """Return whether a store holds the undamaged part and chart images of this image, warped with this map.

    A store of version 1 has no chart images: all of it is made again.

    Args:
        confidence: whether it should hold confidences; if so, they must be undamaged too.
    """
    if item.key not in store or not store.has_charts or store.has_confidence != confidence:
        return False
    index = store.index(item.key)
    if (store.digests[index], store.maps[index]) != (item.digest, item.map_digest):
        return False
    try:
        _, valid = store.read(index)
        store.read_charts(index)
        if confidence:
            store.read_confidence(index)
            store.read_chart_confidence(index)
    except StoreError:
        return False
    return bool((valid.sum(axis=(1, 2)) == store.counts[index]).all())


def _warp_all(jobs: Sequence[WarpJob], pieces: Pieces, total: int) -> Iterator[Chunk]:
    """Let the workers of joblib's current backend make all pieces; yield the chunks in order, as they are ready."""
    unlocked = Pieces(pieces.out, pieces.configuration, lock=False)  # for the workers: this process holds the lock
    work: Callable[..., WarpJob] = joblib.delayed(make_piece)
    parallel = joblib.Parallel(return_as="generator", batch_size=1)
    done: Iterable[WarpJob] = dispatch(parallel, (work(job, unlocked) for job in jobs))
    for job in progress(done, total, "warping", each=0):
        yield from read_piece(job, pieces)


def _in_order(
    items: Sequence[WarpItem], unchanged: set[str], existing: DsapStore | None, warped: Iterator[Chunk]
) -> Iterator[Chunk]:
    """Yield a chunk for every item: the existing one if it is unchanged, else the next one that is warped."""
    for item in items:
        if existing and item.key in unchanged:
            yield existing.chunk(existing.index(item.key))
        else:
            yield next(warped)
    surplus = list(warped)  # exhausts the generator, so that joblib ends its workers
    assert not surplus, "as many warped chunks as items that changed"
