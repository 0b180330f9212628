"""Region labels of images: the share of each cell that shows background and each of the eight body regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dsa_data.charts import BODY_REGIONS, CHARTS
from dsa_data.records import Record
from dsa_data.stores.iuv import IuvStore

CLASSES = 1 + len(BODY_REGIONS)  # background, then the regions in the order of f_L
REGION_OF = np.zeros(CHARTS + 1, np.uint8)
"""The class of each chart, uint8 (25,): 0 for the background, 1 to 8 for the regions."""
for _number, _charts in enumerate(BODY_REGIONS.values(), start=1):
    REGION_OF[list(_charts)] = _number


def cell_shares(chart: NDArray[np.uint8], grid: tuple[int, int]) -> torch.Tensor:
    """Return the share of each class in each cell of a grid over a chart map uint8 (H, W): float32 (9, h, w)."""
    regions = torch.from_numpy(REGION_OF[chart]).long()
    classes = F.one_hot(regions, CLASSES).permute(2, 0, 1).float()  # (9, H, W)
    return F.adaptive_avg_pool2d(classes, grid)


def read_shares(
    store: IuvStore, records: Sequence[Record], grid: tuple[int, int]
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Return the labels of N images from a store of maps, float16 (N, 9, h, w), and which have a map, bool (N,).

    An image that the store does not contain, that has changed since, or whose map is background alone has none.
    """
    shares = np.zeros((len(records), CLASSES, *grid), np.float16)
    known = np.zeros(len(records), bool)
    for n, record in enumerate(records):
        if record.key not in store:
            continue
        row = store.index(record.key)
        if store.digests[row] != record.digest or store.statuses[row] == "none":
            continue
        chart = store.read(row).iuv[..., 0]
        if chart.any():
            shares[n], known[n] = cell_shares(chart, grid).numpy(), True
    return shares, known


def labels_of_others(pids: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each of N images the index of another person's image: a permutation (N,) without fixed persons.

    Images are shuffled and sorted by person, then shifted by the size of the largest group, so that no image meets its
    own person as long as no person has more than half of all images; then only as many as can be avoided do.
    """
    persons, number, counts = np.unique(pids, return_inverse=True, return_counts=True)
    order = np.lexsort((rng.random(len(pids)), rng.permutation(len(persons))[number]))  # by person, else random
    mapping = np.empty(len(pids), np.int64)
    mapping[order] = np.roll(order, -int(counts.max()))
    return mapping
