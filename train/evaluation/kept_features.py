"""A cache of features: extracted once, and kept with the digest of the model that made them."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

from dsa_data.stores.features import FeatureStore, Origin, write_features
from dsa_data.stores.header import Header, digest_of
from dsa_data.stores.reuse import open_reusable
from dsa_reid.atomic import atomic
from dsa_reid.main_stream import MainStream

from ..batches.dataset import Images
from ..network.two_stream import TwoStream
from .config import EvaluateConfig
from .features import extract_batches, lengths

AGAIN = "Its features are extracted again."


class KeptFeatures(FeatureStore):
    """A feature store that the evaluation wrote and can write again."""

    remedy = "Remove it and evaluate again: dsa-train evaluate."


def kept_features(
    path: Path,
    network: MainStream | TwoStream,
    model: str,
    images: Images,
    config: EvaluateConfig,
    dataset: str = "",
    workers: int = 1,
) -> KeptFeatures:
    """Return the features of images from `path`; they are extracted if `path` does not have them.

    Features of another model, match or preprocessing, of other images, or in a damaged file, are extracted again: the
    policy is that of all stores (`stores.reuse`), with leave to replace.

    Args:
        model: SHA-256 of the file that the network was read from.
        dataset: its name, which the file notes.

    Raises:
        BusyError: if another program has the file open for writing.
        StoreError: if the file is no store of features.
    """
    header = Header(dataset, _configuration(network, model, images, config), _inputs(images))
    cached = open_reusable(path, KeptFeatures, header, "", overwrite=True, whole=True, again=AGAIN)
    if cached is not None:
        return cached
    what, visible = path.stem.capitalize(), config.needs_visibility
    batches = extract_batches(network, images, config.match, config.batch, workers, what, config.flip, visible)
    first = next(batches)
    shape = (len(images), first.shape[1])
    keys, digests = zip(*((record.key, record.digest) for record in images.records), strict=True)
    blocks = (block.numpy() for block in itertools.chain([first], batches))
    with atomic(path) as part:
        write_features(part, header, keys, digests, shape, "float32", blocks)
    return KeptFeatures(path)


def _configuration(
    network: MainStream | TwoStream, model: str, images: Images, config: EvaluateConfig
) -> dict[str, Any]:
    preprocessing = dataclasses.asdict(images.preprocessing)
    origin = Origin(
        model,
        {name: list(value) if isinstance(value, tuple) else value for name, value in preprocessing.items()},
        lengths(network, config.match, config.needs_visibility),
    )
    return {"origin": dataclasses.asdict(origin), "match": config.match, "flip": config.flip}


def _inputs(images: Images) -> str:
    """Return the digest of what the network sees: images and, for a match that needs the guide, their texels."""
    store = images.store
    if store and images.regions_of is not None:
        charts = store.chart_checksums
        return digest_of(f"{one.key} {one.digest} charts {charts[store.index(one.key)]}" for one in images.records)
    texels = {record.key: int(store.checksums[store.index(record.key)]) for record in images.records} if store else {}
    sure: dict[str, str] = {}
    if store and images.guidance.confidence != "ignore":
        checksums = store.confidence_checksums
        sure = {record.key: f" confidence {checksums[store.index(record.key)]}" for record in images.records}
    return digest_of(
        f"{record.key} {record.digest} {texels.get(record.key, '')}{sure.get(record.key, '')}"
        for record in images.records
    )
