"""From a run and its dataset, or from a file of features, to the gallery that is browsed."""

from __future__ import annotations

from pathlib import Path

import torch

from dsa_app.errors import ConfigError, DatasetError, StoreError
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_reid.model import load
from dsap.layout import Turns

from ..evaluation.config import EvaluateConfig
from ..evaluation_stage import Task, query_and_gallery, uncalibrated
from ..gallery.feature_files import open_features
from ..gallery.search import check_same_model
from .gallery import Gallery, ListedImage, listed_images


def gallery_of_run(task: Task, config: EvaluateConfig) -> Gallery:
    """Return the gallery of a run's dataset; its queries may be picked. Errors as for `evaluation_stage.evaluate`.

    Raises ConfigError for settings that compare by other features than the model's own.
    """
    compares = config.compares_plainly or (config.distance == "visible" and not config.min_seen and not config.unseen)
    if not compares or config.match != "main" or config.flip or config.regions != "predicted":
        raise ConfigError(
            "A page compares the model's own features by their Euclidean distance, or by what both images show. Leave "
            "out other settings."
        )
    query, gallery, device = query_and_gallery(task, config)
    path = task.source if task.source.is_file() else task.source / "model.pt"
    records = [*gallery.records, *query.records]
    images = [ListedImage(record.key, record.pid, record.camid) for record in records]
    store, turns = _parts(task.dsap)
    model = load(path, device)
    if uncalibrated(config, gallery.records):
        model.calibration = model.visible_calibration = None
    return Gallery(model, images, gallery.features, task.root, store, turns, f"{path.parent.name} on {task.dataset}")


def gallery_of_features(
    features: Path, model: Path, root: Path, manifest: Path, dsap: Path, device: torch.device
) -> Gallery:
    """Return the gallery of a file of features.

    Args:
        model: what made the features.
        root: the folder of their images.
        manifest, dsap: identities and cameras, and part images, where these files exist.

    Raises:
        StoreError: for features of another model, or a damaged file.
        DatasetError: if the folder lacks the images.
    """
    opened = open_features(features)
    network = load(model, device)
    check_same_model(opened, network, model)
    if opened.keys and not (root / opened.keys[0]).is_file():
        raise DatasetError(f"{root} has no {opened.keys[0]}, which {features} lists. Name the folder: --pictures DIR.")
    known = {}
    if manifest.exists():
        listed = {record.digest: record for record in read_manifest(manifest)}
        for key, digest in zip(opened.keys, opened.digests, strict=True):
            if record := listed.get(digest):
                known[key] = ListedImage(key, record.pid, record.camid)
    store, turns = _parts(dsap)
    return Gallery(network, listed_images(opened.keys, known), opened, root, store, turns, features.name)


def _parts(path: Path) -> tuple[DsapStore | None, Turns]:
    """Return the part images, and how they are rotated; none where there is no store that can be read."""
    try:
        store = DsapStore(path) if path.exists() else None
    except StoreError:
        store = None
    if store is None:
        return None, "densepose"
    made = store.header.configuration
    if made.get("warp", {}).get("parts") == "coarse":
        return store, "none"
    return store, "synthetic" if made.get("maps", {}).get("engine") == "rendered" else "densepose"
