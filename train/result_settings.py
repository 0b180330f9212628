"""The settings that a result was made with: which of them decide a number, and how they differ from a row's.

A result stores what differs from the defaults, which are the paper's values, and not all settings: a result of before
there was a setting was made with that setting's default.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from densepose_extract.config import EstimatorErrors
from dsa_app.config import build, installed_experiment, to_dict
from dsap.config import WarpConfig

from .config import FREE, TrainConfig
from .evaluation.config import EvaluateConfig

Values = dict[str, Any]  # settings by their name for --set, as in {"train.epochs": 2}

# These change how fast a number is computed, where, and what is written beside it, but not the number (but for
# rounding).
UNDECIDING = (
    *(f"train.{name}" for name in FREE if name != "epochs"), "train.deterministic", "train.network.branches",
    "evaluate.match", "evaluate.batch", "evaluate.keep", "evaluate.memory", "evaluate.device", "evaluate.threads",
)  # fmt: skip
SIZE, CAMERAS = "train.network.main.size", "train.network.main.cameras"
AVERAGE = "average"  # the engine that gives every image the same map
SEED = "train.seed"  # a row's runs of every seed are its own
NAMED = 6  # changes that a line names; the rest are counted
UNKNOWN = "made by an earlier version; unknown settings"


def of_training(train: Mapping[str, Any], warp: Mapping[str, Any] | None, maps: Mapping[str, Any] | None) -> Values:
    """Return what differs from the paper's values in the settings that decide what a training computes.

    Args:
        train: section "train", as plain values.
        warp: section "warp" that the part images were built with; None for a training without a guide.
        maps: what the maps were made with, as a store of part images has it; None for a training without a guide. Only
            the errors of rendered maps count, and that every image has the average map: other maps are another result.
    """
    extract = {"errors": maps["errors"]} if maps and maps.get("errors") else {}
    extract |= {"engine": AVERAGE} if maps and maps.get("engine") == AVERAGE else {}
    values = {"train": train, **({"warp": warp} if warp else {}), "extract": extract}
    found = {name: value for name, value in _flat(values) if _decides(name) and defaults().get(name) != value}
    if found.get(SIZE) == [train.get("height"), train.get("width")]:
        del found[SIZE]  # derived from these
    found.pop(CAMERAS, None)  # of the images
    return found


def of_evaluation(config: EvaluateConfig, protocol: str) -> Values:
    """Return what differs from the paper's values in the settings that decide what an evaluation measures.

    Args:
        protocol: the gallery of the dataset's own protocol, "whole" or "single-shot".
    """
    values = {name: value for name, value in _flat({"evaluate": to_dict(config)}) if _decides(name)}
    sampled = config.gallery == "single-shot"
    values["evaluate.gallery"] = "auto" if config.gallery in ("auto", protocol) else config.gallery
    # A part that is switched off has no effect, whatever its other settings.
    unused = [] if sampled else ["evaluate.repeats", "evaluate.seed"]
    unused += [] if config.expansion.neighbours else ["evaluate.expansion.alpha"]
    unused += [] if config.rerank.on else [f"evaluate.rerank.{name}" for name in ("k1", "k2", "weight")]
    return {
        name: value for name, value in values.items() if name not in unused and defaults().get(name, value) != value
    }


def of_part_images(trained: Values, tested: Mapping[str, Any]) -> Values:
    """Return the settings of the part images of query and gallery that differ from those of the training images.

    Args:
        trained: of the training.
        tested: the configuration of the store of query and gallery.
    """
    found = of_training({}, tested.get("warp"), tested.get("maps"))
    names = [name for name in defaults() if name in found or (name in trained and not name.startswith("train."))]
    values = {name: found.get(name, defaults()[name]) for name in names}
    return {f"evaluate.{name}": value for name, value in values.items() if value != trained.get(name, defaults()[name])}


@functools.cache
def defaults() -> Values:
    """Return all settings at their defaults."""
    sections = {
        "train": to_dict(TrainConfig()),
        "warp": to_dict(WarpConfig()),
        "extract": {"engine": "auto", "errors": to_dict(EstimatorErrors())},
        "evaluate": to_dict(EvaluateConfig()),
    }
    return dict(_flat(sections))


@functools.cache
def of_row(experiment: str) -> Values:
    """Return what differs from the paper's values in an experiment that comes with the project."""
    sections = installed_experiment(experiment)
    train = to_dict(build(TrainConfig, sections.get("train"), experiment))
    return of_training(train, to_dict(build(WarpConfig, sections.get("warp"), experiment)), sections.get("extract"))


def changes(values: Values, row: Values) -> list[str]:
    """Return where a result's settings differ from a row's, as assignments: "train.epochs=1". The seed is no change.

    Args:
        values, row: what differs from the paper's values in either.
    """
    # Without a guide there are no part images, and the row's own are not missed.
    names = [name for name in defaults() if name in values or (name in row and not name.startswith("warp."))]
    names += [name for name in row if name.startswith("warp.") and values.get("train.network.guide", True)]
    names += [name for name in values if name not in defaults()]  # of a later version
    found = []
    for name in dict.fromkeys(names):
        value = values.get(name, defaults().get(name))
        if name != SEED and value != row.get(name, defaults().get(name)):
            found.append(f"{name}={_plain(value)}")
    return found


def short(found: list[str]) -> str:
    """Return changes in one line: the first few, and the number of the others."""
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more


def digest(values: Values, match: str, images: str) -> str:
    """Return the digest of all that decides a result: settings, the feature that is compared, images and their maps."""
    return hashlib.sha256(json.dumps([values, match, images], sort_keys=True).encode()).hexdigest()[:16]


def are_values(content: Any) -> bool:
    """Return whether JSON has the form of `Values`."""
    return isinstance(content, dict) and isinstance(content.get(SEED, 0), int)


def _decides(name: str) -> bool:
    return not any(f"{name}.".startswith(f"{one}.") for one in UNDECIDING)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
