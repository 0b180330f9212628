"""An I, U, V store and a DSAP store of three images of random content."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from dsa_data.stores.dsap import chart_image, pack, write_dsap
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv

HEADER = Header("tiny", {"size": 8, "engine": {"name": "rendered"}}, "ab" * 32)
KEYS = ["a/1.jpg", "a/2.jpg", "b/ä.jpg"]


def iuv_maps(seed: int = 0) -> list[IuvMap]:
    rng = np.random.default_rng(seed)
    shapes = [(5, 3), (1, 1), (40, 20)]
    statuses = ["found", "none", "fallback"]
    return [
        IuvMap(rng.integers(0, 25, (*shape, 3), dtype=np.uint8), 0.5, np.arange(4.0), status, "0f" * 32, "f0" * 32)
        for shape, status in zip(shapes, statuses, strict=True)
    ]


def make_iuv(path: Path) -> Path:
    maps = iuv_maps()
    return write_iuv(path, HEADER, KEYS, np.array([m.iuv.shape[:2] for m in maps]), iter(maps))


def tensors(size: int = 8, seed: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield texels uint8 (24, S, S, 3) and valid bool (24, S, S) of each image."""
    rng = np.random.default_rng(seed)
    for _ in KEYS:
        valid = rng.random((24, size, size)) < 0.2
        yield rng.integers(0, 256, (24, size, size, 3), dtype=np.uint8) * valid[..., None], valid


def make_dsap(path: Path, size: int = 8) -> Path:
    chunks = (
        pack(texels, valid, chart_image(one.iuv), "0f" * 32, "f0" * 32)
        for (texels, valid), one in zip(tensors(size), iuv_maps(), strict=True)
    )
    return write_dsap(path, HEADER, size, KEYS, chunks)


def as_version_1(path: Path) -> Path:
    """Change a DSAP store into one of version 1, which had no chart images; return its path."""
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 1
        for name in [name for name in file if name.startswith("chart")]:
            del file[name]
    return path
