"""Features extracted once and kept with the digest of the model that made them, for whatever comes after."""

from __future__ import annotations

import dataclasses
import hashlib
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
from .features import extracted, lengths


class KeptFeatures(FeatureStore):
    """A feature store that the evaluation made and can make again."""

    remedy = "Remove it and measure again: dsa-train evaluate."


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept_features(
    path: Path,
    network: MainStream | TwoStream,
    model: str,
    pictures: Images,
    config: EvaluateConfig,
    dataset: str = "",
    workers: int = 1,
) -> KeptFeatures:
    """Return the features of pictures from `path`, extracted only if they are not there.

    Features of another model, match or preprocessing, of other pictures, or in a damaged file, are extracted again.

    Args:
        model: SHA-256 of the file that the network was read from.
        dataset: the name that the file keeps.
    """
    header = Header(dataset, _configuration(network, model, pictures, config), _inputs(pictures))
    found = _found(path, header)
    if found is not None:
        return found
    batches = extracted(network, pictures, config.match, config.batch, workers, path.stem.capitalize(), config.flip)
    first = next(batches)
    shape = (len(pictures), first.shape[1])
    keys, digests = zip(*((record.key, record.digest) for record in pictures.records), strict=True)
    blocks = (block.numpy() for block in itertools.chain([first], batches))
    with atomic(path) as part:
        write_features(part, header, keys, digests, shape, "float32", blocks)
    return KeptFeatures(path)


def _configuration(
    network: MainStream | TwoStream, model: str, pictures: Images, config: EvaluateConfig
) -> dict[str, Any]:
    preprocessing = dataclasses.asdict(pictures.preprocessing)
    origin = Origin(
        model,
        {name: list(value) if isinstance(value, tuple) else value for name, value in preprocessing.items()},
        lengths(network, config.match),
    )
    return {"origin": dataclasses.asdict(origin), "match": config.match, "flip": config.flip}


def _inputs(pictures: Images) -> str:
    """Return the digest of what is looked at: pictures and, where the guide speaks, their texels."""
    store = pictures.store
    texels = {record.key: int(store.checksums[store.index(record.key)]) for record in pictures.records} if store else {}
    return digest_of(f"{record.key} {record.digest} {texels.get(record.key, '')}" for record in pictures.records)


def _found(path: Path, header: Header) -> KeptFeatures | None:
    """Return what is kept, if it is what `header` says; else say why it is made again."""
    if not path.exists():
        return None
    try:
        store = KeptFeatures(path)
    except StoreError as error:
        click.echo(f"{error} It is extracted again.", err=True)
        return None
    if store.header == header:
        return store
    why = setting_changes(store.header.configuration, header.configuration) or "of other pictures"
    click.echo(f"{path} holds other features ({why}): they are extracted again.", err=True)
    return None
