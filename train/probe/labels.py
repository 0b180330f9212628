"""Region labels of images: the share of each cell that shows background and each of the eight body regions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_data.charts import REGION_OF_CHART
from dsa_data.records import Record
from dsa_data.stores.iuv import IuvStore
from dsa_reid.region_pooling import CLASSES, in_cells, label_shares


def cell_shares(chart: NDArray[np.uint8], grid: tuple[int, int]) -> torch.Tensor:
    """Return the share of each class in each cell of a grid over a chart map uint8 (H, W): float32 (9, h, w)."""
    regions = torch.from_numpy(REGION_OF_CHART[chart])
    return in_cells(label_shares(regions[None]), grid)[0]


def read_shares(
    store: IuvStore, records: Sequence[Record], grid: tuple[int, int]
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """Return the labels of N images, float16 (N, 9, h, w), from a store of maps, and which have a map, bool (N,).

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
