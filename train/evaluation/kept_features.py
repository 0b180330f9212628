"""A cache of features: extracted once, and kept with the digest of the model that made them."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import click

from dsa_app.config import setting_changes
from dsa_app.errors import StoreError
from dsa_data.stores.features import FeatureStore, Origin, write_features
from dsa_data.stores.header import Header, digest_of
from dsa_reid.atomic import atomic
from dsa_reid.main_stream import MainStream

from ..batches.dataset import Images
from ..network.two_stream import TwoStream
from .config import EvaluateConfig
from .features import extract_batches, lengths


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

    Features of another model, match or preprocessing, of other images, or in a damaged file, are extracted again.

    Args:
        model: SHA-256 of the file that the network was read from.
        dataset: its name, which the file notes.
    """
    header = Header(dataset, _configuration(network, model, images, config), _inputs(images))
    cached = _cached(path, header)
    if cached is not None:
        return cached
    batches = extract_batches(network, images, config.match, config.batch, workers, path.stem.capitalize(), config.flip)
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
        lengths(network, config.match),
    )
    return {"origin": dataclasses.asdict(origin), "match": config.match, "flip": config.flip}


def _inputs(images: Images) -> str:
    """Return the digest of what the network sees: images and, for a match that needs the guide, their texels."""
    store = images.store
    texels = {record.key: int(store.checksums[store.index(record.key)]) for record in images.records} if store else {}
    return digest_of(f"{record.key} {record.digest} {texels.get(record.key, '')}" for record in images.records)


def _cached(path: Path, header: Header) -> KeptFeatures | None:
    """Return the features at `path` if they are those of `header`; else print why they are extracted again."""
    if not path.exists():
        return None
    try:
        store = KeptFeatures(path)
    except StoreError as error:
        click.echo(f"{error} Its features are extracted again.", err=True)
        return None
    if store.header == header:
        return store
    why = setting_changes(store.header.configuration, header.configuration) or "of other images"
    click.echo(f"{path} holds other features ({why}). They are extracted again.", err=True)
    return None
