"""Which images are fused together, and which maps are judged one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dsa_app.config import to_dict
from dsa_app.errors import ConfigError
from dsa_data.records import Record, read_manifest
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvStore

from ..plan import WarpItem, check_keys, inputs_digest, pair_with_maps
from .config import FuseConfig

ALONE = 256  # maps judged one by one that make one piece of work
NOBODY = 0  # identities below are no persons: distractors, useless boxes


@dataclass(frozen=True)
class Group:
    """Images that are compared with each other, or maps that are judged one by one.

    Attributes:
        key: of their surface, see `SurfaceStore`; "" for maps judged one by one.
        items: the images and their maps.
    """

    key: str
    items: tuple[WarpItem, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that the maps are made from: all images in the manifest's order, their groups, the stores' header."""

    items: list[WarpItem]
    groups: list[Group]
    header: Header


def make_plan(manifest: Path, iuv: Path, config: FuseConfig) -> Plan:
    """Return what is to be fused.

    Raises DatasetError if manifest and maps do not belong together or the split has no image, StoreError for a damaged
    store, ConfigError for maps without u and v.
    """
    records = read_manifest(manifest)
    of_split = read_manifest(manifest, [config.split])
    with IuvStore(iuv) as maps:
        if not maps.has_uv:
            raise ConfigError(
                f"{maps.path} has maps of I alone, and dsap fuse needs u and v. Make them with another engine: "
                "densepose-extract run."
            )
        check_keys(records, maps)
        items = pair_with_maps(records, maps)
        header = maps.header
    by_key = {item.key: item for item in items}
    groups = grouped(of_split, by_key, config)
    fused = {item.key for group in groups for item in group.items}
    alone = [item for item in items if item.key not in fused]
    groups += [Group("", tuple(alone[start : start + ALONE])) for start in range(0, len(alone), ALONE)]
    settings = to_dict(config)
    if not config.turned:  # a setting that came later: without it the files have the bytes that they had before
        del settings["turned"]
    configuration = {**header.configuration, "fuse": settings}
    # Beside the images and maps it is the groups that decide: a change of a label makes other surfaces.
    lines = [WarpItem(item.key, group.key, item.map_digest) for group in groups for item in group.items]
    return Plan(items, groups, Header(header.dataset, configuration, inputs_digest([*items, *lines])))


def grouped(records: Sequence[Record], items: dict[str, WarpItem], config: FuseConfig) -> list[Group]:
    """Return the groups of images that show one surface, sorted by key, each of at most `config.most` images."""
    together: dict[str, list[WarpItem]] = {}
    for record in records:
        if record.pid >= NOBODY:
            camera = f"/c{record.camid}" if config.group == "track" else ""
            together.setdefault(f"{record.pid:04d}{camera}", []).append(items[record.key])
    groups = []
    for key, members in sorted(together.items()):
        # Parts of nearly equal size: a last part of one image would have nothing to be compared with.
        parts = -(-len(members) // config.most)
        for part in range(parts):
            share = tuple(members[part::parts])
            groups.append(Group(f"{key}/{part + 1}" if parts > 1 else key, share))
    return groups
