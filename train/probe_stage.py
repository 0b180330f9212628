"""The probe as a stage: from a trunk, a dataset and its maps to a table of whether the maps improve local features."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray

from dsa_app.config import to_dict
from dsa_app.errors import CheckpointError, DatasetError, TrainingError
from dsa_app.wording import counted
from dsa_data.records import Record, read_manifest
from dsa_data.stores.iuv import IuvStore
from dsa_reid.main_stream import MainStream
from dsa_reid.model import load
from dsa_reid.preprocessing import Preprocessing

from .batches.dataset import Images
from .batches.regions import of_other_people
from .config import TrainConfig, sized
from .evaluation.config import EvaluateConfig
from .evaluation.metrics import Result
from .evaluation.retrieval import camera_numbers, check_matches, read_retrieval
from .network.weights import find_weights, load_trunk
from .probe.bootstrap import paired_difference
from .probe.config import ProbeConfig
from .probe.labels import read_shares
from .probe.maps import KeptMaps, Levels, keep_maps
from .probe.rows import AT_TEST, OWN, RegionLabels, joined, pool_level
from .probe.score import Split, Splits, hold_out, mean_ap, score
from .probe.table import Column, Probe
from .stage import preprocessing_of
from .torch_setup import choose_device, memory_explained, prepare_torch

ENOUGH = 0.9  # share of test images with a map from which on there is a row with them
UNSEEN = 0.05  # share of the training identities on whose images the heads' cells are counted


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A trunk that is probed.

    Attributes:
        main_stream: which has it.
        name: of the trunk and of its weights, in words.
    """

    main_stream: MainStream
    preprocessing: Preprocessing
    name: str


def frozen_trunk(run: Path | None, config: TrainConfig) -> Frozen:
    """Return the trunk of a trained run or model file; without one, the pretrained trunk of the settings.

    Raises:
        ModelError, CheckpointError, ConfigError: for weights that are missing, damaged or do not fit.
    """
    if run is None and (weights := Path(config.network.weights)).is_dir():
        run = weights
    if run is not None:
        path = run / "model.pt" if run.is_dir() else run
        model = load(path)
        return Frozen(model.main_stream, model.preprocessing, f"{model.main_stream.config.trunk} of {path}")
    config = sized(config)
    try:
        find_weights(config.network.main, config.network.weights)  # before the network is built, which takes long
    except CheckpointError as error:
        raise CheckpointError(
            f"{str(error).rstrip('.')}. To probe a trained network, name its run: --run RUN"
        ) from None
    main_stream = MainStream(config.network.main)
    load_trunk(main_stream, config.network.weights)
    name = f"{config.network.main.trunk}, weights {config.network.weights}"
    return Frozen(main_stream, preprocessing_of(config), name)


def probe(
    manifest: Path,
    root: Path,
    iuv: Path,
    trunk: Frozen,
    cache: Path,
    config: ProbeConfig,
    evaluation: EvaluateConfig,
    workers: int = 1,
) -> Probe:
    """Return whether regions from a dataset's maps improve the local features of a frozen trunk.

    Args:
        manifest: lists the images.
        root: the dataset's folder.
        iuv: I, U, V maps of the training images; where it has those of the test images too, there is a row more.
        cache: folder where feature maps are kept.

    Raises:
        DatasetError, StoreError, ImageError: for what cannot be read, or fewer than three identities with maps.
        TrainingError: if no query has a match, or maps are not numbers.
    """
    prepare_torch(config.seed, deterministic=False, threads=config.threads)
    records = read_manifest(manifest, ["train", "query", "gallery"])
    check_matches(read_retrieval(root, records, trunk.preprocessing), evaluation)
    store = IuvStore(iuv)
    splits = _splits(records, evaluation, config)
    images = Images(root, records, trunk.preprocessing)
    levels = Levels(trunk.main_stream.trunk).to(choose_device(config.device))
    with memory_explained(f"batches of {config.batch} images", "Use smaller ones: --set probe.batch=8."):
        kept = keep_maps(levels, images, splits.train.indices.tolist(), config.channels, config.batch, cache, workers)
    labels = {stride: _labels(store, records, splits, kept.shape(stride)[1], config) for stride in kept.strides}
    known = next(iter(labels.values())).known
    test = np.concatenate([splits.query.indices, splits.gallery.indices])
    at_test = bool(known[test].mean() >= ENOUGH)
    if not at_test:
        click.echo(
            f"{iuv} has maps of {100 * known[test].mean():.0f}% of the test images: no row {AT_TEST!r}.", err=True
        )
    pooled = {stride: pool_level(kept, stride, labels[stride], at_test, config) for stride in kept.strides}
    columns = [
        _column(f"stride {stride}", one.rows, one.right, splits, evaluation, config) for stride, one in pooled.items()
    ]
    if len(pooled) > 1:
        both = dict(joined([one.rows for one in pooled.values()]))
        columns.append(_column("both", both, {}, splits, evaluation, config))
    return Probe(columns, _about(trunk, iuv, store, known, splits, kept, config))


def _splits(records: Sequence[Record], evaluation: EvaluateConfig, config: ProbeConfig) -> Splits:
    pids = np.array([record.pid for record in records])
    camids, split = camera_numbers(records, evaluation), np.array([record.split for record in records])
    train, query, gallery = (
        Split(np.flatnonzero(split == name), pids[split == name], camids[split == name])
        for name in ("train", "query", "gallery")
    )
    if len(np.unique(train.pids)) < 3:
        raise DatasetError(
            f"The training split has {counted(len(np.unique(train.pids)), 'identity', 'identities')}, and the probe "
            "needs three at least. Check the split: dsa-data check."
        )
    held_out, kept = hold_out(train, config.held_out, np.random.default_rng([config.seed, 1]))
    if not _has_matches(held_out):  # of one camera: copies of the query alone are left out
        by_file = np.arange(len(records))
        held_out, kept = (dataclasses.replace(one, camids=by_file[one.indices]) for one in (held_out, kept))
    return Splits(train, query, gallery, held_out, kept)


def _has_matches(split: Split) -> bool:
    """Return whether an identity is in images of two cameras."""
    pairs = {(int(pid), int(camid)) for pid, camid in zip(split.pids, split.camids, strict=True)}
    return len(pairs) > len({pid for pid, _ in pairs})


def _labels(
    store: IuvStore, records: Sequence[Record], splits: Splits, grid: tuple[int, int], config: ProbeConfig
) -> RegionLabels:
    shares, known = read_shares(store, records, grid)
    train = splits.train.select(known[splits.train.indices])
    if len(np.unique(train.pids)) < 3:
        raise DatasetError(
            f"{store.path} has maps of {len(train.indices)} of {len(splits.train.indices)} training images, of "
            f"{counted(len(np.unique(train.pids)), 'identity', 'identities')}; the probe needs three at "
            "least. Make the maps: densepose-extract run; or name others: --iuv."
        )
    rng = np.random.default_rng([config.seed, 2])
    unseen, fitted = hold_out(train, UNSEEN, rng)
    others = np.zeros(len(records), np.int64)
    others[fitted.indices] = fitted.indices[_others(fitted.pids, config.seed)]
    return RegionLabels(shares, known, others, fitted.indices, unseen.indices)


def _others(pids: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return for each image the index of another person's. Raises DatasetError if one has more than half of them."""
    try:
        return of_other_people(torch.from_numpy(pids), torch.Generator().manual_seed(seed)).numpy()
    except TrainingError:
        raise DatasetError(
            "One person has more than half of the training images with a map, and the probe compares with the maps of "
            "other people. Use more people."
        ) from None


def _column(
    name: str,
    rows: dict[str, list[NDArray[np.float32]]],
    right: dict[str, float],
    splits: Splits,
    evaluation: EvaluateConfig,
    config: ProbeConfig,
) -> Column:
    results: dict[str, list[tuple[Result, float]]] = {
        row: [score(one, splits, evaluation, config) for one in repeats] for row, repeats in rows.items()
    }
    precision = {row: mean_ap([result for result, _ in ones]) for row, ones in results.items()}
    over = {
        row: paired_difference(precision[OWN], one, splits.query.pids, config.resamples, config.seed)
        for row, one in precision.items()
        if row != OWN
    }
    return Column(
        name,
        {row: float(np.mean([result.mAP for result, _ in ones])) for row, ones in results.items()},
        {row: float(np.mean([result.rank(1) for result, _ in ones])) for row, ones in results.items()},
        {row: ones[0][1] for row, ones in results.items()},
        over,
        right,
    )


def _about(
    trunk: Frozen,
    iuv: Path,
    store: IuvStore,
    known: NDArray[np.bool_],
    splits: Splits,
    kept: KeptMaps,
    config: ProbeConfig,
) -> dict[str, Any]:
    return {
        "trunk": trunk.name,
        "size": [trunk.preprocessing.height, trunk.preprocessing.width],
        "maps": {"file": str(iuv), "engine": store.header.configuration.get("engine")},
        "images": {name: len(getattr(splits, name).indices) for name in ("train", "query", "gallery")},
        "training_images_with_a_map": int(known[splits.train.indices].sum()),
        "settings": to_dict(config),
        "channels": {f"stride {stride}": kept.shape(stride)[0] for stride in kept.strides},
    }
