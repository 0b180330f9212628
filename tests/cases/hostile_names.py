"""Datasets whose paths hold what HTML would take for tags and attributes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dsa_data.images import write_png
from dsa_data.records import Entry, Record, index, write_manifest
from dsa_data.stores.dsap import pack, write_dsap
from dsa_data.stores.header import Header

HOSTILE = "<img src=x onerror=alert(1)>&\"'"
SIZE = 8  # S of the part images


def write_dataset(root: Path, entries: Sequence[Entry], header: Header, seed: int) -> list[Record]:
    """Write images in a colour for each person, `manifest.csv`, and `dsap.h5` of random part images."""
    generator = np.random.default_rng(seed)
    for entry in entries:
        colour = np.random.default_rng(entry.pid).integers(40, 215, 3)
        write_png(root / entry.key, (colour + generator.integers(-40, 40, (48, 24, 3))).astype(np.uint8))
    records = index(root, entries)
    write_manifest(records, root / "manifest.csv")
    parts = []
    for record in records:
        valid = generator.random((24, SIZE, SIZE)) < 0.5
        texels = generator.integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8) * valid[..., None]
        parts.append(pack(texels, valid, np.zeros((48, 24), np.uint8), record.digest, "0" * 64))
    write_dsap(root / "dsap.h5", header, SIZE, [record.key for record in records], parts)
    return records
