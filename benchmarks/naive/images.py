"""Images and DSAP of noise, the same for the trainer and for the naive side."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dsa_app.config import to_dict
from dsa_data.charts import NO_MAP
from dsa_data.images import encode_jpeg
from dsa_data.records import Entry, Record, index
from dsa_data.stores.dsap import DsapStore, pack, write_dsap
from dsa_data.stores.header import Header
from dsa_train.batches.feed import TrainingSet
from dsa_train.config import TrainConfig
from dsa_train.stage import open_training_set
from dsap.config import WarpConfig

from .loader import Files

IMAGES = 4  # of each identity


def write_random_images(folder: Path, identities: int, size: int, config: TrainConfig) -> tuple[TrainingSet, Files]:
    """Write JPEG files and a DSAP store under `folder`, and the same texels as .npz files for the naive side.

    Args:
        size: S of the DSAP.
    """
    rng = np.random.default_rng(0)
    entries = [
        Entry(f"bounding_box_train/{pid:04}_c{n % 6 + 1}s1_{n:06}_00.jpg", "train", pid, n % 6 + 1)
        for pid in range(1, identities + 1)
        for n in range(IMAGES)
    ]
    arrays = {}
    charts = np.full((config.height, config.width), NO_MAP, np.uint8)
    for entry in entries:
        path = folder / entry.key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encode_jpeg(rng.integers(0, 256, (config.height, config.width, 3), dtype=np.uint8)))
        valid = rng.random((24, size, size)) < 0.5
        texels = rng.integers(0, 256, (24, size, size, 3), dtype=np.uint8) * valid[..., None]
        np.savez(path.with_suffix(".npz"), texels=texels, valid=valid)
        arrays[entry.key] = texels, valid
    records: list[Record] = index(folder, entries)
    chunks = [pack(*arrays[record.key], charts, record.digest, "0" * 64) for record in records]
    header = Header("benchmark", {"warp": to_dict(WarpConfig(size=size))}, "made up")
    path = write_dsap(folder / "dsap.h5", header, size, [record.key for record in records], chunks)
    data = open_training_set(folder, records, DsapStore(path), config)
    paths = [folder / record.key for record in records]
    return data, Files(paths, data.labels, config.height, config.width, config.augment.pad)
