"""What `dsa-train explain` computes: a page of heat maps of several networks, or their sensitivity to body regions."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
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
OUTLINED = 0.25  # of the images that show a region, for its outline on a page of means


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
        image = _read(subject.root, record)
        features = _feature_maps(subject, name, image, method, window, stride)
        regions = maps.regions(record) if maps else {}
        rows.append(heat_maps.Row(f"{name}:  {record.key}", name == next(iter(models)), image, features, regions))
    outlined = f"\nWhite line: the body region that guides the feature, by {maps.source}." if maps else ""
    return heat_maps.page(rows, LEGENDS[method] + outlined, "{:.0%}")


def mean_page(subject: Subject, method: Method, window: int | None = None, stride: int | None = None) -> Image:
    """Return a page with a row for each network: the mean of its heat maps over all images, at its input's size.

    In place of an image, the share of the images in which each pixel shows a person: brighter for more. Takes and
    raises what `heat_map_page` does.
    """
    rows = []
    for name, model in subject.models.items():
        size = model.preprocessing.height, model.preprocessing.width
        heat: dict[str, _Mean] = defaultdict(partial(_Mean, size))
        regions: dict[str, _Mean] = defaultdict(partial(_Mean, size))
        for record in progress(subject.records, len(subject.records), "Explaining"):
            image = _read(subject.root, record)
            for feature, values in _feature_maps(subject, name, image, method, window, stride).items():
                heat[feature].add(values)
            for region, mask in (subject.maps.regions(record) if subject.maps else {}).items():
                if region == BACKGROUND or mask.any():
                    regions[region].add(mask)
        person = 1 - regions.pop(BACKGROUND).value if subject.maps else np.zeros(size)
        brightness = np.asarray(np.rint(64 + 191 * person), np.uint8)
        outlines = {region: mean.value >= OUTLINED for region, mean in regions.items()}
        title = f"{name}:  mean of {len(subject.records)} images"
        rows.append(
            heat_maps.Row(
                title,
                True,
                np.repeat(brightness[..., None], 3, axis=2),
                {f: m.value for f, m in heat.items()},
                outlines,
            )
        )
    outlined = (
        f"\nWhite line: where the body region that guides the feature is in {OUTLINED:.0%} or more of the images that "
        f"show it, by\n{subject.maps.source}. First column: where there are people."
        if subject.maps
        else ""
    )
    return heat_maps.page(rows, LEGENDS[method] + outlined, "{:.0%}")


class _Mean:
    """The mean of maps of any size, resized to (H, W)."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._total = np.zeros(size)
        self._count = 0

    def add(self, values: NDArray[np.generic]) -> None:
        height, width = self._total.shape
        self._total += cv2.resize(values.astype(np.float64), (width, height), interpolation=cv2.INTER_LINEAR)
        self._count += 1

    @property
    def value(self) -> NDArray[np.float64]:
        return self._total / max(1, self._count)


def _feature_maps(
    subject: Subject, name: str, image: Image, method: Method, window: int | None, stride: int | None
) -> dict[str, NDArray[np.floating]]:
    """Return the heat map of each feature of one network on one image."""
    model = subject.models[name]
    seen = model.preprocessing.normalise(model.preprocessing.resize(torch.from_numpy(image))[None])
    if method == "shares":
        by_feature = feature_shares(model.main_stream, seen.to(model.device))[0].cpu().numpy()
    else:
        side = window or max(1, model.preprocessing.width // 4)
        by_feature = occlusion(_network(model), seen[0], side, stride or max(1, side // 4)).numpy()
        by_feature /= subject.between_people[name][:, None, None]
    return dict(zip(feature_names(model.main_stream.config.heads), by_feature, strict=True))


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
