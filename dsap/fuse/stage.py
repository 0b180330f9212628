"""The stage: all persons fused, and a store of maps written in which what is wrong is corrected or weighted."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import joblib
import numpy as np

from dsa_app.console import progress
from dsa_app.parallel import dispatch
from dsa_data.stores.header import digest_of
from dsa_data.stores.iuv import Confidence, IuvMap, IuvStore, write_iuv
from dsa_data.stores.pieces import Pieces, delete_leftovers
from dsa_data.stores.reuse import open_reusable
from dsa_data.stores.surfaces import Surface, write_surfaces
from dsa_data.turning import turned, turned_fine
from dsa_reid.atomic import atomic

from ..piece import pixel_confidence
from ..workers import workers
from .config import Action, FuseConfig
from .exchange import LIMBS, exchanged, exchanged_fine
from .person import Evidence
from .piece import FuseJob, make_piece, read_evidence, read_surfaces
from .plan import Group, Plan, make_plan
from .turns import Turn

TOGETHER = 128  # images in a piece, at least: an interruption loses no more
COLUMNS = ("key", "limbs", "across", "near", "nearer", "probability", "exchanged")
TURN_COLUMNS = ("turned_head", "turned_torso", "turned_limbs", "turned_probability", "turned")
Found = dict[str, tuple[dict[str, Evidence], Turn | None]]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What was made.

    Attributes:
        maps, surfaces, report: the files.
        images: of all splits.
        persons: surfaces.
        exchanged: maps by limbs of which the sides are exchanged.
        turned: maps that are turned around; None if they were not looked for.
        changed: False if the files were up to date.
    """

    maps: Path
    surfaces: Path
    report: Path
    images: int = 0
    persons: int = 0
    exchanged: dict[str, int] = dataclasses.field(default_factory=dict)
    turned: int | None = None
    changed: bool = True


def fuse_all(
    manifest: Path, iuv: Path, out: Path, config: FuseConfig, root: Path, jobs: int = 1, overwrite: bool = False
) -> Outcome:
    """Fuse all persons of the split, and write maps, surfaces and a report.

    The bytes are the same for any number of workers and after any number of interruptions. In memory are the images of
    one group a worker, and then one map.

    Args:
        manifest: the list of the images.
        iuv: the store of their maps.
        out: the store of maps to write; `<out>_surfaces.h5` and `<out>.csv` are beside it.
        root: the dataset's folder.
        jobs: worker processes, negative as joblib counts.
        overwrite: replace a store or pieces of other settings, and a damaged store.

    Raises what `dsap.stage.build` raises.
    """
    out = out.absolute()
    plan = make_plan(manifest, iuv, config)
    outcome = Outcome(out, out.with_name(f"{out.stem}_surfaces.h5"), out.with_suffix(".csv"))
    remedy = "Replace it with --overwrite, or keep both: --out OTHER.h5"
    existing = open_reusable(out, IuvStore, plan.header, remedy, overwrite)
    if existing is not None:
        current = existing.header.inputs == plan.header.inputs
        existing.close()
        if current and outcome.surfaces.exists() and outcome.report.exists():
            delete_leftovers(out, plan.header.configuration)
            return dataclasses.replace(outcome, changed=False)
    fuse_jobs = [
        FuseJob(root.absolute(), iuv.absolute(), config.size, config.turned, groups) for groups in _shares(plan.groups)
    ]
    with Pieces(out, plan.header.configuration, overwrite) as pieces, workers(jobs):
        _fuse_all(fuse_jobs, pieces, len(plan.items))
        found: Found = {key: (limbs, turn) for job in fuse_jobs for key, limbs, turn in read_evidence(job, pieces)}
        keys = [group.key for group in plan.groups if group.key]
        with atomic(outcome.surfaces) as part:
            surfaces: Iterator[Surface] = (one for job in fuse_jobs for one in read_surfaces(job, pieces))
            write_surfaces(part, plan.header, keys, config.size, surfaces)
        write_report(outcome.report, found)
        with IuvStore(iuv) as maps:
            # The maps come last: with them the output is complete.
            pieces.assemble(lambda path: _write_maps(path, plan, maps, found, config.action))
    count = {limbs: sum(one[limbs].exchanged for one, _ in found.values()) for limbs in LIMBS}
    turns = sum(turn is not None and turn.turned for _, turn in found.values()) if config.turned else None
    return dataclasses.replace(outcome, images=len(found), persons=len(keys), exchanged=count, turned=turns)


def _shares(groups: Sequence[Group]) -> Iterator[tuple[Group, ...]]:
    """Yield groups together until they have `TOGETHER` images."""
    share: list[Group] = []
    for group in groups:
        share.append(group)
        if sum(len(one.items) for one in share) >= TOGETHER:
            yield tuple(share)
            share = []
    if share:
        yield tuple(share)


def _fuse_all(jobs: Sequence[FuseJob], pieces: Pieces, total: int) -> None:
    """Let the workers of joblib's current backend make all pieces."""
    unlocked = Pieces(pieces.out, pieces.configuration, lock=False)  # for the workers: this process holds the lock
    work: Callable[..., FuseJob] = joblib.delayed(make_piece)
    parallel = joblib.Parallel(return_as="generator", batch_size=1)
    done: Iterable[FuseJob] = dispatch(parallel, (work(job, unlocked) for job in jobs))
    for _ in progress(done, total, "fusing", each=0):
        pass


def write_report(path: Path, found: Found) -> Path:
    """Write a row for the arms and the legs of every image: their evidence, and whether they are exchanged.

    Where it was looked for, both rows say whether the image's map is turned around.
    """
    looked = any(turn is not None for _, turn in found.values())
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS + TURN_COLUMNS if looked else COLUMNS)
        for key, (of_image, turn) in sorted(found.items()):
            around: list[str | int] = []
            if turn is not None:
                values = (turn.head, turn.torso, turn.limbs, turn.probability)
                around = [*(f"{value:.4f}" for value in values), int(turn.turned)]
            for limbs, one in of_image.items():
                values = (one.across, one.near, one.nearer, one.probability)
                writer.writerow([key, limbs, *(f"{value:.4f}" for value in values), int(one.exchanged), *around])
    return path


def _write_maps(path: Path, plan: Plan, maps: IuvStore, found: Found, action: Action) -> None:
    keys = [item.key for item in plan.items]
    shapes = np.array([maps.shapes[maps.index(key)] for key in keys])
    confidence: Confidence = "pixels" if action == "weight" else maps.confidence
    settings = digest_of([str(plan.header.configuration)])
    made = (changed_map(maps.read(maps.index(key)), *found[key], action, settings) for key in keys)
    write_iuv(path, plan.header, keys, shapes, progress(made, len(keys), "writing"), maps.bits, confidence)


def changed_map(
    iuv_map: IuvMap, found: dict[str, Evidence], turn: Turn | None, action: Action, settings: str = ""
) -> IuvMap:
    """Return a map with what is wrong turned or exchanged back, or with its confidence lowered; see `FuseConfig`.

    Args:
        settings: digest of the settings, which together with the map and the evidence decides the map returned.
    """
    iuv, fine = iuv_map.iuv, iuv_map.fine
    confidence = pixel_confidence(iuv_map) if action == "weight" else iuv_map.confidence
    right = np.ones(25)  # probability that the side of a chart is right, after what is done here
    if turn is not None:
        around = action == "correct" and turn.turned
        if around:
            fine = None if fine is None else turned_fine(fine, iuv)
            iuv = turned(iuv)
        right[1:] = turn.probability if around else 1 - turn.probability
    for limbs, one in found.items():
        back = action == "correct" and one.exchanged
        if back:
            fine = None if fine is None else exchanged_fine(fine, iuv[..., 0], limbs)
            iuv = exchanged(iuv, limbs)
        right[list(np.ravel(LIMBS[limbs]))] *= one.probability if back else 1 - one.probability
    if confidence is not None:
        confidence = np.rint(confidence * right[iuv[..., 0]]).astype(np.uint8)
    evidence = [f"{limbs} {one}" for limbs, one in found.items()] + ([] if turn is None else [str(turn)])
    return dataclasses.replace(
        iuv_map,
        iuv=iuv,
        fine=fine,
        confidence=confidence,
        # Of a map that states a number an image it is the mean over the body again.
        image_confidence=iuv_map.image_confidence if confidence is None else float("nan"),
        batch_digest=digest_of([iuv_map.batch_digest, settings, *evidence]),
    )
