"""The plan of a store: every image that is to be warped, paired with its I, U, V map."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

from dsa_app.config import to_dict
from dsa_app.errors import ConfigError, DatasetError
from dsa_data.records import Record, read_manifest
from dsa_data.stores.header import Header, digest_of
from dsa_data.stores.iuv import IuvStore

from .config import WarpConfig


@dataclasses.dataclass(frozen=True)
class WarpItem:
    """One image to warp.

    Attributes:
        key: path under the dataset's root.
        digest: SHA-256 that the image file must have.
        map_digest: SHA-256 that its I, U, V map must have.
    """

    key: str
    digest: str
    map_digest: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a store is made from.

    Attributes:
        items: the images to warp, in the order of the manifest.
        header: of the store.
        confidence: whether the maps say how sure they are, and the store too.
    """

    items: list[WarpItem]
    header: Header
    confidence: bool


def make_plan(manifest: Path, iuv: Path, config: WarpConfig, splits: Sequence[str] | None = None) -> Plan:
    """Return what is to be warped.

    Args:
        manifest: of the dataset.
        iuv: the store of the maps.
        splits: only these; all by default.

    Raises DatasetError, naming the first image, if manifest and maps do not belong together, StoreError for a damaged
    store of maps, and ConfigError for settings that need what the maps do not have.
    """
    records = read_manifest(manifest)
    with IuvStore(iuv) as maps:
        check_content(maps, config)
        check_keys(records, maps)
        items = pair_with_maps(read_manifest(manifest, splits) if splits else records, maps)
        configuration = {"warp": to_dict(config), "maps": maps.header.configuration}
        header = Header(maps.header.dataset, configuration, inputs_digest(items))
        return Plan(items, header, maps.confidence != "none")


def check_content(maps: IuvStore, config: WarpConfig) -> None:
    """Raise ConfigError for fine part images of maps without u and v, and for "surest" of maps without a confidence."""
    if config.parts == "coarse":
        return
    if not maps.has_uv:
        raise ConfigError(
            f"{maps.path} has maps of I alone, and fine part images need u and v. Build coarse ones: dsap build --set "
            "warp.parts=coarse."
        )
    if config.collision == "surest" and maps.confidence != "pixels":
        raise ConfigError(
            f"warp.collision=surest needs a confidence at every pixel, and {maps.path} has none. Use last, or make "
            "maps with it: densepose-extract run --confidence."
        )


def inputs_digest(items: Iterable[WarpItem]) -> str:
    """Return the SHA-256 of everything that items are made from, in hexadecimal."""
    return digest_of(f"{item.key} {item.digest} {item.map_digest}" for item in items)


def pair_with_maps(records: Sequence[Record], maps: IuvStore) -> list[WarpItem]:
    """Return an item for each record. Raises DatasetError for an image that is not the one its map was made from."""
    items = []
    for record in records:
        index = maps.index(record.key)
        height, width = maps.shapes[index]
        if maps.digests[index] != record.digest:
            raise DatasetError(f"{maps.path}: {record.key} has changed since its map was made. {REMEDY}")
        if (height, width) != (record.height, record.width):
            raise DatasetError(
                f"{maps.path}: {record.key} is {record.width}x{record.height}, its map {width}x{height}. {REMEDY}"
            )
        items.append(WarpItem(record.key, record.digest, maps.checksums[index]))
    return items


def check_keys(records: Sequence[Record], maps: IuvStore) -> None:
    """Raise DatasetError unless the maps are those of the images that the manifest lists, in all its splits."""
    listed = {record.key for record in records}
    without_map = [record.key for record in records if record.key not in maps]
    not_listed = [key for key in maps.keys if key not in listed]
    if without_map:
        raise DatasetError(f"{maps.path} lacks the maps of {len(without_map)} images, first {without_map[0]}. {REMEDY}")
    if not_listed:
        raise DatasetError(
            f"{maps.path} has maps of {len(not_listed)} images that the manifest does not list, first {not_listed[0]}. "
            f"{REMEDY}"
        )


REMEDY = "Make the maps again from this manifest: densepose-extract run."
