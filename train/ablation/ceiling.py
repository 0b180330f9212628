"""What matching could reach at best: the true surfaces of people, compared where both pictures truly show them.

A texel is seen in a picture if a pixel of the true I, U, V lands on it. Of a pair of pictures the texels seen in both
are compared, in the colours that the renderer painted them with, without light, camera or noise:

- where any of them differs, the two are not one person: such pairs are ranked by their mean squared difference, last;
- where all agree, nothing speaks against it: such pairs come first, the more they share the sooner;
- where none is shared nothing is known: such pairs stand between, all at one distance, the wrong ones first.

Twins differ in nothing but their marks and bags, so between them this is nearly all that can be known; a matcher that
weighed where marks are likely could do a little better. Strangers who share no texel may still be told apart by their
clothes, which go on to the other side.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dsa_app.errors import DatasetError
from dsa_data import images
from dsa_data.records import Record, read_manifest
from dsa_data.synthetic.appearance import texture
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.dataset import read_settings, read_views
from dsa_data.synthetic.people import Person
from dsa_data.synthetic.render import visible_bag_points
from dsa_data.synthetic.shots import Shot, person_of, plan, scene_of
from dsap.warp import landings

from ..evaluation.matches import Labels, find_matches
from ..evaluation.metrics import Result, measure
from ..evaluation.views import Bin, ViewBins
from ..report import COLUMNS, text_table, view_measures, view_table

ROWS = 4  # of a picture for one texel: S is 32 at 128 rows, where neighbouring pixels land on neighbouring texels
BLOCK = 128  # pictures of either side that are compared at once
# Cells of a bag's surface, by `along` and by `outer` + `front` in metres, on which alone its colours depend.
CELLS, ALONG, ACROSS = 24, (0.0, 1.1), (-0.6, 0.3)


class Surfaces(NamedTuple):
    """What pictures show of whose surface; of K texels the last CELLS x CELLS are the bag's.

    Attributes:
        seen: bool (N, K).
        whose: (N,), the row of `colours` of each picture.
        colours: uint8 (P, K, 3), RGB, of each person.
    """

    seen: np.ndarray
    whose: np.ndarray
    colours: np.ndarray

    def without_bags(self) -> Surfaces:
        """Return what the charts alone show."""
        body = slice(0, self.seen.shape[1] - CELLS**2)
        return Surfaces(self.seen[:, body], self.whose, self.colours[:, body])


class Ceiling(NamedTuple):
    """What came of it.

    Attributes:
        body: of matching on the body's surface.
        with_bags: on the bag's too, which no chart covers.
        views: on the body's, by view difference.
        shared: the share of right pairs in which both pictures show a same texel of the body.
    """

    body: Result
    with_bags: Result
    views: dict[Bin, Result]
    shared: float


def ceiling(manifest: Path, root: Path) -> Ceiling:
    """Measure the retrieval of a synthetic dataset's queries by the true surfaces.

    Raises:
        DatasetError: if the dataset at `root` was not drawn, or the manifest lists other pictures.
        ImageError: for a true map that cannot be read.
    """
    settings = read_settings(root)
    query, gallery = (read_manifest(manifest, [split]) for split in ("query", "gallery"))
    surfaces = read_surfaces(root, settings, [*query, *gallery], settings.height // ROWS)
    sides = [
        Surfaces(surfaces.seen[part], surfaces.whose[part], surfaces.colours)
        for part in (slice(0, len(query)), slice(len(query), None))
    ]
    labels = Labels(
        *(np.array([record.pid for record in side]) for side in (query, gallery)),
        *(np.array([record.camid for record in side]) for side in (query, gallery)),
    )
    q_views, g_views = (read_views(root, [one.key for one in side]) for side in (query, gallery))
    distmat, shared = distances(*(side.without_bags() for side in sides))
    with_bags, _ = distances(*sides)
    views = ViewBins()
    views.add(distmat, labels, q_views, g_views)
    correct = (labels.q_pids[:, None] == labels.g_pids) & (labels.q_camids[:, None] != labels.g_camids)
    return Ceiling(
        measure(find_matches(distmat, labels)),
        measure(find_matches(with_bags, labels)),
        views.results(),
        float((shared[correct] > 0).mean()),
    )


def read_surfaces(root: Path, settings: SynthConfig, records: Sequence[Record], size: int) -> Surfaces:
    """Return what the pictures of a drawn dataset truly show; errors as for `ceiling`."""
    shots = {shot.key: shot for group in plan(settings) for shot in group}
    people: dict[tuple[int, int], int] = {}
    seen = np.zeros((len(records), 24 * size * size + CELLS**2), bool)
    whose, colours = np.empty(len(records), np.intp), []
    for n, record in enumerate(records):
        shot = shots.get(record.key)
        if shot is None:
            raise DatasetError(
                f"{record.key} is none of the pictures that {root} was drawn with. List them again: dsa-data prepare."
            )
        person = person_of(settings, shot.group, shot.number)
        if (shot.group, shot.number) not in people:
            people[shot.group, shot.number] = len(people)
            colours.append(surface(person, size))
        whose[n] = people[shot.group, shot.number]
        seen[n, landings(images.read(root / shot.iuv), size)[1]] = True
        seen[n, 24 * size * size + _cells_seen(settings, shot, person)] = True
    return Surfaces(seen, whose, np.array(colours))


def surface(person: Person, size: int) -> np.ndarray:
    """Return the colours of a person's texels, and of the cells of the bag: uint8 (24 S S + CELLS CELLS, 3)."""
    along, across = (low + (np.arange(CELLS) + 0.5) / CELLS * (high - low) for low, high in (ALONG, ACROSS))
    local = np.stack([np.tile(across, CELLS), np.repeat(along, CELLS), np.zeros(CELLS**2)], axis=1)
    bag = np.rint(255 * person.appearance.bag.colours(local)).astype(np.uint8)
    return np.concatenate([texture(person.appearance, size).reshape(-1, 3), bag])


def _cells_seen(settings: SynthConfig, shot: Shot, person: Person) -> np.ndarray:
    """Return the numbers of the bag's cells that a picture shows."""
    if person.body.build.bag == "none":
        return np.empty(0, np.intp)
    local = visible_bag_points(scene_of(settings, shot, person))  # (n, 3)
    cells = [
        np.clip((values - low) / (high - low) * CELLS, 0, CELLS - 1).astype(np.intp)
        for values, (low, high) in ((local[:, 1], ALONG), (local[:, 0] + local[:, 2], ACROSS))
    ]
    return np.asarray(cells[0] * CELLS + cells[1])


def distances(query: Surfaces, gallery: Surfaces) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each pair, by the rule above, and how many texels it shares: float64 (Q, G) both.

    The squares are summed as whole numbers, exactly, so that a pair without a difference has the sum 0.
    """
    Q, G = len(query.seen), len(gallery.seen)
    total, shared = np.empty((Q, G)), np.empty((Q, G))
    for g in range(0, G, BLOCK):
        there = slice(g, g + BLOCK)
        g_seen, g_colours = _of(gallery, there)
        for q in range(0, Q, BLOCK):
            here = slice(q, q + BLOCK)
            q_seen, q_colours = _of(query, here)
            shared[here, there] = q_seen @ g_seen.T
            total[here, there] = (q_colours**2).sum(0) @ g_seen.T + q_seen @ (g_colours**2).sum(0).T
            total[here, there] -= 2 * sum(a @ b.T for a, b in zip(q_colours, g_colours, strict=True))
    agrees = -shared / query.seen.shape[1]
    return np.where(total > 0, total / np.maximum(3 * shared, 1), agrees), shared


def _of(side: Surfaces, some: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return what is seen (n, K) and, of that, the colours (3, n, K): float64 both, 0 where nothing is seen."""
    seen = side.seen[some].astype(np.float64)
    colours = side.colours[side.whose[some]].transpose(2, 0, 1)  # (n, K, 3) -> (3, n, K)
    return seen, colours * seen


def ceiling_table(result: Ceiling) -> str:
    """Return what matching true surfaces reaches, in percent, and by view difference."""
    rows = {
        name: [f"{100 * value:.1f}" for value in (one.rank(1), one.rank(5), one.rank(10), one.mAP, one.mINP)]
        for name, one in (("body", result.body), ("body and bag", result.with_bags))
    }
    shared = f"{100 * result.shared:.1f}% of right pairs show a same texel of the body."
    return "\n".join([text_table([*COLUMNS.values()][:5], rows), shared, view_table(result.views)])


def ceiling_measures(result: Ceiling) -> dict[str, Any]:
    """Return what matching true surfaces reaches as plain values, fractions."""
    both = {
        name: {"rank1": one.rank(1), "rank5": one.rank(5), "rank10": one.rank(10), "mAP": one.mAP, "mINP": one.mINP}
        for name, one in (("body", result.body), ("body_and_bag", result.with_bags))
    }
    return {**both, "shared": result.shared, "views": view_measures(result.views), "queries": result.body.queries}
