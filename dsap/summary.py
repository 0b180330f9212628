"""Statistics of a store of part images."""

from __future__ import annotations

from typing import Any

import numpy as np

from dsa_data.charts import CHART_NAMES, CHARTS
from dsa_data.stores.dsap import DsapStore


def plain(store: DsapStore) -> dict[str, Any]:
    """Return the statistics of a store as plain values.

    `valid_texels` is the mean of an image; of each chart `visible` is the share of the images that show it, and `valid`
    the mean share of its texels that are valid in these images.
    """
    S = store.size
    texels = store.counts.sum(axis=1)  # (N,)
    visible = (store.counts > 0).mean(axis=0)  # (24,)
    filled = store.counts.sum(axis=0) / np.maximum((store.counts > 0).sum(axis=0), 1) / (S * S)
    return {
        "store": str(store.path),
        "images": len(store),
        "size": S,
        "bytes": store.path.stat().st_size,
        "without_person": int((texels == 0).sum()),
        "confidence": store.has_confidence,
        "valid_texels": float(texels.mean()),
        "charts": [
            {"chart": number, "name": name, "visible": float(visible[number - 1]), "valid": float(filled[number - 1])}
            for number, name in enumerate(CHART_NAMES, start=1)
        ],
    }


def summary(store: DsapStore) -> list[str]:
    """Return lines with the numbers of images, bytes, images without a person, and valid texels by chart."""
    known = plain(store)
    count, S, texels = known["images"], known["size"], known["valid_texels"]
    lines = [
        f"{store.path}: {count} images, {CHARTS} parts of {S}x{S} texels",
        f"{known['bytes'] / 2**20:.1f} MiB, {known['bytes'] / count:,.0f} bytes an image",
        f"{known['without_person']} images without a person",
        *(["with the confidence of every texel"] if known["confidence"] else []),
        f"{texels:,.0f} valid texels an image, {texels / (CHARTS * S * S):.1%} of all; by chart:",
    ]
    for one in known["charts"]:
        part = f"visible in {one['visible']:6.1%} of the images, with {one['valid']:5.1%} valid texels there"
        lines.append(f"  {one['chart']:2} {one['name']:24}{part}")
    return lines
