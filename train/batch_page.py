"""What `dsa-train show-batch` does: the first batch of an epoch, rendered as an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsa_data.records import read_manifest
from dsap.config import WarpConfig

from . import stage
from .batches.feed import epoch_order, feed
from .batches.parts_store import open_store
from .batches.show import render_batch
from .calibration_fit import hold_out
from .config import TrainConfig


def batch_page(
    manifest: Path, root: Path, dsap: Path, config: TrainConfig, warp: WarpConfig, identities: int, epoch: int
) -> NDArray[np.uint8]:
    """Return the first batch of an epoch as the network sees it, a row an identity: uint8 (H, W, 3), RGB.

    Args:
        dsap: the DSAP store; not opened for a network without a guide.
        identities: rows, at most those of a batch.

    Raises DatasetError, StoreError, ImageError, TrainingError for data that is missing or does not fit.
    """
    records, _ = hold_out(read_manifest(manifest, ["train"]), config.calibrate, config.seed)
    store = open_store(dsap, warp) if config.needs_store else None
    data = stage.open_training_set(root, records, store, config)
    indices = epoch_order(data, config, epoch)[0].tolist()
    images, parts, *_ = feed(data.images.read(indices), data, config, epoch, step=0)
    count = min(identities, config.identities) * config.pictures
    labels = [f"pid {records[index].pid}, camera {records[index].camid}" for index in indices]
    shown = None if parts is None else parts[:count]
    return render_batch(images[:count], shown, labels, data.images.preprocessing, config.pictures)
