"""Statistics of a store of part images."""

from __future__ import annotations

import numpy as np

from dsa_data.charts import CHART_NAMES, CHARTS
from dsa_data.stores.dsap import DsapStore


def summary(store: DsapStore) -> list[str]:
    """Return lines with the numbers of images, bytes, images without a person, and valid texels by chart."""
    count, S = len(store), store.size
    texels = store.counts.sum(axis=1)  # (N,)
    size = store.path.stat().st_size
    empty = int((texels == 0).sum())
    lines = [
        f"{store.path}: {count} images, {CHARTS} parts of {S}x{S} texels",
        f"{size / 2**20:.1f} MiB, {size / count:,.0f} bytes an image",
        f"{empty} images without a person",
        *(["with the confidence of every texel"] if store.has_confidence else []),
        f"{texels.mean():,.0f} valid texels an image, {texels.mean() / (CHARTS * S * S):.1%} of all; by chart:",
    ]
    visible = (store.counts > 0).mean(axis=0)  # (24,)
    filled = store.counts.sum(axis=0) / np.maximum((store.counts > 0).sum(axis=0), 1) / (S * S)
    for number, name in enumerate(CHART_NAMES):
        part = f"visible in {visible[number]:6.1%} of the images, with {filled[number]:5.1%} valid texels there"
        lines.append(f"  {number + 1:2} {name:24}{part}")
    return lines
