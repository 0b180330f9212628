"""What `dsa-train explain` computes: a page of heat maps of several networks, or their sensitivity to body regions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_app.console import progress
from dsa_app.errors import DatasetError
from dsa_data.images import decode
from dsa_data.records import Record, read_listed, read_manifest
from dsa_reid.model import Model

from . import heat_maps
from .body_maps import BACKGROUND, BodyMaps, read_body_maps
from .config import Method
from .features import Network, change_between_people, feature_names, split
from .occlusion import occlusion
from .regions import Sensitivity, region_changes, sensitivity
from .selection import read_models, sample_people, select_images
from .shares import feature_shares

Image = NDArray[np.uint8]
LEGENDS: dict[Method, str] = {
    "occlusion": "Occlusion: change of the feature (1 - cos) where the image is covered by the mean colour, in percent "
    "of the mean\nchange between two people.",
    "shares": "Shares: the part of the feature's squared length that comes from each position.",
}


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is explained: networks, and the images that they see.

    Attributes:
        models: by name, in the order in which they are shown.
        between_people: of each model, how much images of two people differ in each of its F features.
        records: the images.
        root: their folder.
        maps: of the body regions; None if there are none.
        usual_iuv: the store that has these maps, where no other is named and the dataset was not rendered.
    """

    models: Mapping[str, Model]
    between_people: Mapping[str, NDArray[np.float64]]
    records: Sequence[Record]
    root: Path
    maps: BodyMaps | None
    usual_iuv: Path


def read_subject(
    models: Sequence[Path],
    manifest: Path,
    root: Path,
    keys: Sequence[str],
    count: int,
    seed: int,
    iuv: Path | None,
    usual_iuv: Path,
    device: torch.device,
) -> Subject:
    """Read models, and select the images that they are explained on.

    Args:
        models: folders of runs, or model files.
        keys: of the images; empty for `count` queries, sampled with `seed`.
        iuv, usual_iuv: stores of the body regions' maps, see `read_body_maps`.

    Raises:
        ModelError, DatasetError, StoreError, ImageError: for what cannot be read or is not listed.
    """
    networks = read_models(models, device)
    listed = read_manifest(manifest)
    records = select_images(listed, keys, count, seed)
    people = sample_people(listed, {record.split for record in records}, seed)
    between_people = {name: _change_between(model, people, root) for name, model in networks.items()}
    return Subject(networks, between_people, records, root, read_body_maps(root, iuv, usual_iuv), usual_iuv)


def heat_map_page(subject: Subject, method: Method, window: int | None = None, stride: int | None = None) -> Image:
    """Return a page with a row for each image and network: uint8 (H, W, 3), RGB. Body regions are outlined.

    Args:
        window, stride: of the occlusion, in pixels of the network's input; a quarter of its width, and a quarter of
            the window, if None.

    Raises ConfigError for a stride that leaves gaps, ImageError for an image that cannot be read.
    """
    rows = []
    models, maps = subject.models, subject.maps
    pairs = [(record, name) for record in subject.records for name in models]
    for record, name in progress(pairs, len(pairs), "Explaining"):
        model, image = models[name], _read(subject.root, record)
        seen = model.preprocessing.normalise(model.preprocessing.resize(torch.from_numpy(image))[None])
        if method == "shares":
            by_feature = feature_shares(model.main_stream, seen.to(model.device))[0].cpu().numpy()
        else:
            side = window or max(1, model.preprocessing.width // 4)
            by_feature = occlusion(_network(model), seen[0], side, stride or max(1, side // 4)).numpy()
            by_feature /= subject.between_people[name][:, None, None]
        features = dict(zip(feature_names(model.main_stream.config.heads), by_feature, strict=True))
        regions = maps.regions(record) if maps else {}
        rows.append(heat_maps.Row(f"{name}:  {record.key}", name == next(iter(models)), image, features, regions))
    outlined = f"\nWhite line: the body region that guides the feature, by {maps.source}." if maps else ""
    return heat_maps.page(rows, LEGENDS[method] + outlined, "{:.0%}")


def region_sensitivity(subject: Subject) -> dict[str, Sensitivity]:
    """Return each network's region sensitivity over the images in which a person is visible.

    Raises DatasetError without maps, or if no person is visible in any image.
    """
    maps = subject.maps
    if maps is None:
        raise DatasetError(
            f"{subject.usual_iuv} does not exist, and its I, U, V maps show where the body regions are. Make it: "
            "densepose-extract run."
        )
    changes: dict[str, list[NDArray[np.float64]]] = {name: [] for name in subject.models}
    sizes = []
    for record in progress(subject.records, len(subject.records), "Masking regions"):
        regions = maps.regions(record)
        if regions[BACKGROUND].all():
            continue
        image, masks = _read(subject.root, record), np.stack(list(regions.values()))
        sizes.append(masks.mean((1, 2)))
        for name, model in subject.models.items():
            changes[name].append(region_changes(_network(model), image, masks, model.preprocessing).numpy())
    if not sizes:
        raise DatasetError(
            f"No person is visible in {len(subject.records)} images, by {maps.source}. Name other images by their KEY, "
            "or sample more: --count."
        )
    return {
        name: sensitivity(
            feature_names(model.main_stream.config.heads),
            np.stack(changes[name]),
            np.stack(sizes),
            subject.between_people[name],
        )
        for name, model in subject.models.items()
    }


def _network(model: Model) -> Network:
    return lambda images: model.main_stream(images.to(model.device))


@torch.inference_mode()
def _change_between(model: Model, records: Sequence[Record], root: Path) -> NDArray[np.float64]:
    """Return how much images of two people differ in each feature, (F,)."""
    images = [model.preprocessing.resize(torch.from_numpy(_read(root, record))) for record in records]
    features = split(_network(model)(model.preprocessing.normalise(torch.stack(images))))
    return np.asarray(change_between_people(features, [record.pid for record in records]).numpy())


def _read(root: Path, record: Record) -> Image:
    return np.asarray(decode(read_listed(root, record.key, record.digest), root / record.key))
