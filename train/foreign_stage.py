"""Features or distances of other programs as what `dsa-train evaluate` measures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from dsa_app.errors import ConfigError

from .evaluation.config import EvaluateConfig
from .evaluation.foreign import read_distances, read_features
from .evaluation.retrieval import Side
from .torch_setup import choose_device


def foreign_sides(
    features: Path | None, gallery: Path | None, distances: Path | None, labels: Path | None, config: EvaluateConfig
) -> tuple[Side, Side, torch.device]:
    """Return query and gallery of another program's file, and the device to compare them on.

    Args:
        features, distances: the file of either, exactly one.
        gallery: the file of the gallery's features, if it is another.

    Raises DatasetError as `read_features` does.
    """
    device = choose_device(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    if features is not None:
        return *read_features(features, labels, gallery).sides(config), device
    assert distances is not None, "exactly one of both"
    return *read_distances(distances, labels).sides(config), device


def foreign_config(config: EvaluateConfig, distances: bool) -> EvaluateConfig:
    """Return the settings for features, or distances, that are made already.

    Raises ConfigError for a setting that decides how features are made, which can have no effect.
    """
    defaults = EvaluateConfig()
    made = ["match", "flip", "regions", "multiquery", *(["distance"] if distances else [])]
    wrong = [name for name in made if getattr(config, name) != getattr(defaults, name)]
    wrong += ["tracklets"] if distances and config.tracklets in ("mean", "best", "visible") else []
    if wrong:
        raise ConfigError(
            f"evaluate.{wrong[0]}={getattr(config, wrong[0])} decides how features are made or compared, and "
            f"{'distances' if distances else 'features'} were given. Leave it at {getattr(defaults, wrong[0])}."
        )
    return dataclasses.replace(config, gallery="whole" if config.gallery == "auto" else config.gallery)
