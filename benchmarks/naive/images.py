"""Images and DSAP of noise, the same for the trainer and for the naive side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsa_app.config import to_dict
from dsa_data.charts import NO_MAP
from dsa_data.images import encode_jpeg
from dsa_data.records import Entry, Record, index, read_manifest, write_manifest
from dsa_data.stores.dsap import DsapStore, pack, write_dsap
from dsa_data.stores.header import Header
from dsa_train.batches.feed import TrainingSet
from dsa_train.config import TrainConfig
from dsa_train.stage import open_training_set
from dsap.config import WarpConfig

from .loader import Files

IMAGES = 4  # of each identity


def write_random_images(folder: Path, identities: int, size: int, config: TrainConfig) -> tuple[TrainingSet, Files]:
    """Write images as `make_random_images`, all of them different; return what both sides read."""
    make_random_images(folder, identities, size, config)
    return open_random_images(folder, config)


def make_random_images(
    folder: Path, identities: int, size: int, config: TrainConfig, different: int | None = None
) -> None:
    """Write JPEG files, a DSAP store and a manifest under `folder`, and the texels as .npz files for the naive side.

    Args:
        size: S of the DSAP.
        different: how many of the images differ, the others being copies, which takes less time; all if None.
    """
    rng = np.random.default_rng(0)
    entries = [
        Entry(f"bounding_box_train/{pid:04}_c{n % 6 + 1}s1_{n:06}_00.jpg", "train", pid, n % 6 + 1)
        for pid in range(1, identities + 1)
        for n in range(IMAGES)
    ]
    (folder / "bounding_box_train").mkdir()
    arrays = []
    charts = np.full((config.height, config.width), NO_MAP, np.uint8)
    for number, entry in enumerate(entries):
        path = folder / entry.key
        if different is not None and number >= different:
            first = folder / entries[number % different].key
            for suffix in (".jpg", ".npz"):
                path.with_suffix(suffix).hardlink_to(first.with_suffix(suffix))
            arrays.append(arrays[number % different])
            continue
        path.write_bytes(encode_jpeg(rng.integers(0, 256, (config.height, config.width, 3), dtype=np.uint8)))
        valid = rng.random((24, size, size)) < 0.5
        texels = rng.integers(0, 256, (24, size, size, 3), dtype=np.uint8) * valid[..., None]
        np.savez(path.with_suffix(".npz"), texels=texels, valid=valid)
        arrays.append((texels, valid))
    records: list[Record] = index(folder, entries)
    write_manifest(records, folder / "manifest.csv")
    packed = [
        pack(*one, charts, record.digest, "0" * 64)
        for one, record in zip(arrays[:different], records[:different], strict=True)
    ]
    chunks = [packed[number % len(packed)] for number in range(len(records))]
    header = Header("benchmark", {"warp": to_dict(WarpConfig(size=size))}, "made up")
    write_dsap(folder / "dsap.h5", header, size, [record.key for record in records], chunks)


def open_random_images(folder: Path, config: TrainConfig) -> tuple[TrainingSet, Files]:
    """Open what `make_random_images` wrote, for the trainer and for the naive side."""
    records = read_manifest(folder / "manifest.csv", ["train"])
    data = open_training_set(folder, records, DsapStore(folder / "dsap.h5"), config)
    paths = [folder / record.key for record in records]
    return data, Files(paths, data.labels, config.height, config.width, config.augment.pad)
