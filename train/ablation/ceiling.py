"""An upper bound of matching: the true surfaces of people, compared where both images truly show them.

A texel is visible in an image if a pixel of the true I, U, V lands on it. Of a pair of images the texels visible in
both are compared, in the colours of the renderer's texture, without light, camera or noise:

- if any of them differs, the two are not one person: such pairs are ranked last, by their mean squared difference;
- if all are equal, the two may be one person: such pairs come first, those with more common texels before others;
- if there are no common texels, nothing is known: such pairs stand between, all at one distance, false matches first.

Twins differ in nothing but their marks and bags, so for them this is nearly all that can be known; a matcher that used
where marks are likely could do a little better. Other people without a common texel may still be distinguished by their
clothes, which are alike on the other side.
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

from .. import report
from ..evaluation.matches import Labels, find_matches
from ..evaluation.metrics import Result, measure
from ..evaluation.views import Bin, ViewBins

ROWS = 4  # of an image for one texel: S is 32 at 128 rows, where neighbouring pixels land on neighbouring texels
BLOCK = 128  # queries, and gallery images, that are compared at once
# Cells of a bag's surface, by `along` and by `outer` + `front` in metres, on which alone its colours depend.
CELLS, ALONG, ACROSS = 24, (0.0, 1.1), (-0.6, 0.3)


class Surfaces(NamedTuple):
    """The surfaces that N images show; of K texels the last CELLS x CELLS are the bag's.

    Attributes:
        visible: bool (N, K).
        person: (N,), the row of `colours` of each image.
        colours: uint8 (P, K, 3), RGB, of each person.
    """

    visible: np.ndarray
    person: np.ndarray
    colours: np.ndarray

    def without_bags(self) -> Surfaces:
        """Return the surfaces of the charts alone."""
        body = slice(0, self.visible.shape[1] - CELLS**2)
        return Surfaces(self.visible[:, body], self.person, self.colours[:, body])


class Ceiling(NamedTuple):
    """The measures of matching by true surfaces.

    Attributes:
        body: by the surface of the body.
        with_bags: by that of the bag too, which no chart covers.
        views: by the body, by view difference.
        shared: the share of correct pairs whose images have a texel of the body in common.
    """

    body: Result
    with_bags: Result
    views: dict[Bin, Result]
    shared: float


def ceiling(manifest: Path, root: Path) -> Ceiling:
    """Return the measures of the retrieval of a synthetic dataset's queries by the true surfaces.

    Raises:
        DatasetError: if the dataset at `root` was not rendered, or the manifest lists other images.
        ImageError: for a true map that cannot be read.
    """
    settings = read_settings(root)
    query, gallery = (read_manifest(manifest, [split]) for split in ("query", "gallery"))
    surfaces = read_surfaces(root, settings, [*query, *gallery], settings.height // ROWS)
    sides = [
        Surfaces(surfaces.visible[part], surfaces.person[part], surfaces.colours)
        for part in (slice(0, len(query)), slice(len(query), None))
    ]
    labels = Labels(
        *(np.array([record.pid for record in side]) for side in (query, gallery)),
        *(np.array([record.camid for record in side]) for side in (query, gallery)),
    )
    q_views, g_views = (read_views(root, [record.key for record in side]) for side in (query, gallery))
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
    """Return the surfaces that the images of a rendered dataset truly show; errors as for `ceiling`."""
    shots = {shot.key: shot for group in plan(settings) for shot in group}
    people: dict[tuple[int, int], int] = {}
    visible = np.zeros((len(records), 24 * size * size + CELLS**2), bool)
    rows, colours = np.empty(len(records), np.intp), []
    for n, record in enumerate(records):
        shot = shots.get(record.key)
        if shot is None:
            raise DatasetError(
                f"{record.key} is none of the images that {root} was rendered with. List them again: dsa-data prepare."
            )
        person = person_of(settings, shot.group, shot.number, shot.clothes)
        if (shot.group, shot.number) not in people:
            people[shot.group, shot.number] = len(people)
            colours.append(surface(person, size))
        rows[n] = people[shot.group, shot.number]
        visible[n, landings(images.read(root / shot.iuv), size)[1]] = True
        visible[n, 24 * size * size + _cells_seen(settings, shot, person)] = True
    return Surfaces(visible, rows, np.array(colours))


def surface(person: Person, size: int) -> np.ndarray:
    """Return the colours of a person's texels, and of the cells of the bag: uint8 (24 S S + CELLS CELLS, 3)."""
    along, across = (low + (np.arange(CELLS) + 0.5) / CELLS * (high - low) for low, high in (ALONG, ACROSS))
    local = np.stack([np.tile(across, CELLS), np.repeat(along, CELLS), np.zeros(CELLS**2)], axis=1)
    bag = np.rint(255 * person.appearance.bag.colours(local)).astype(np.uint8)
    return np.concatenate([texture(person.appearance, size).reshape(-1, 3), bag])


def _cells_seen(settings: SynthConfig, shot: Shot, person: Person) -> np.ndarray:
    """Return the numbers of the bag's cells that an image shows."""
    if person.body.build.bag == "none":
        return np.empty(0, np.intp)
    local = visible_bag_points(scene_of(settings, shot, person))  # (n, 3)
    cells = [
        np.clip((values - low) / (high - low) * CELLS, 0, CELLS - 1).astype(np.intp)
        for values, (low, high) in ((local[:, 1], ALONG), (local[:, 0] + local[:, 2], ACROSS))
    ]
    return np.asarray(cells[0] * CELLS + cells[1])


def distances(query: Surfaces, gallery: Surfaces) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance of each pair, by the rule above, and its number of common texels: float64 (Q, G) both.

    The squares are summed as whole numbers, exactly, so that a pair without a difference has the sum 0.
    """
    Q, G = len(query.visible), len(gallery.visible)
    total, shared = np.empty((Q, G)), np.empty((Q, G))
    for g in range(0, G, BLOCK):
        columns = slice(g, g + BLOCK)
        g_visible, g_colours = _of(gallery, columns)
        for q in range(0, Q, BLOCK):
            rows = slice(q, q + BLOCK)
            q_visible, q_colours = _of(query, rows)
            # Sum over the common texels and channels of (a - b)² = a² + b² - 2ab, as three matrix products: a colour is
            # 0 where it is not visible, and the mask of the other side leaves out its square.
            shared[rows, columns] = q_visible @ g_visible.T
            total[rows, columns] = (q_colours**2).sum(0) @ g_visible.T + q_visible @ (g_colours**2).sum(0).T
            total[rows, columns] -= 2 * sum(a @ b.T for a, b in zip(q_colours, g_colours, strict=True))
    equal = -shared / query.visible.shape[1]
    return np.where(total > 0, total / np.maximum(3 * shared, 1), equal), shared


def _of(side: Surfaces, some: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return which texels are visible (n, K), and their colours (3, n, K): float64 both, 0 where not visible."""
    visible = side.visible[some].astype(np.float64)
    colours = side.colours[side.person[some]].transpose(2, 0, 1)  # (n, K, 3) -> (3, n, K)
    return visible, colours * visible


def ceiling_table(result: Ceiling) -> str:
    """Return the measures of matching true surfaces as text, in percent, and by view difference."""
    rows = {
        name: [f"{100 * value:.1f}" for value in (one.rank(1), one.rank(5), one.rank(10), one.mAP, one.mINP)]
        for name, one in (("body", result.body), ("body and bag", result.with_bags))
    }
    shared = f"{100 * result.shared:.1f}% of correct pairs have a texel of the body in common."
    return "\n".join([report.text_table([*report.COLUMNS.values()][:5], rows), shared, report.view_table(result.views)])


def ceiling_measures(result: Ceiling) -> dict[str, Any]:
    """Return the measures of matching true surfaces as plain values, fractions."""
    both = {
        name: {"rank1": one.rank(1), "rank5": one.rank(5), "rank10": one.rank(10), "mAP": one.mAP, "mINP": one.mINP}
        for name, one in (("body", result.body), ("body_and_bag", result.with_bags))
    }
    return {
        **both,
        "shared": result.shared,
        "views": report.view_measures(result.views),
        "queries": result.body.queries,
    }
