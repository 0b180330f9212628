"""Mean and deviation of the colours that a network's pretrained weights were trained with."""

from __future__ import annotations

from pathlib import Path

from dsa_reid.config import TIMM
from dsa_reid.errors import ModelError
from dsa_reid.hub import HUB, fetch_metadata
from dsa_reid.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from dsa_reid.timm_trunk import colours as of_timm

from .config import NetworkConfig
from .weights_file import Weights, read_source

Triple = tuple[float, float, float]
Colours = tuple[Triple, Triple]  # mean and deviation of red, green and blue

IMAGENET: Colours = (IMAGENET_MEAN, IMAGENET_STD)
HALF: Colours = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP: Colours = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))  # of OpenAI's weights
NAMED = {"imagenet": IMAGENET, "half": HALF, "clip": CLIP}
CLIPS = ("class_embedding", "positional_embedding")  # names in CLIP's visual half


def colours_of(config: NetworkConfig) -> Colours:
    """Return the colours that images are normalised by: `config.colours`, or those of the pretrained weights.

    Raises:
        CheckpointError: if the colours are those of a file that cannot be read.
        ModelError: if timm has no weights of a name.
    """
    weights, trunk = config.weights, config.main.trunk
    if config.colours != "weights":
        return NAMED[config.colours]
    if weights == "none":
        return IMAGENET
    if weights == "imagenet":
        return of_timm(trunk.removeprefix(TIMM)) if trunk.startswith(TIMM) else IMAGENET
    if weights.startswith(HUB):
        return _of_metadata(fetch_metadata(weights.removeprefix(HUB))) or _of_trunk(trunk)
    if weights.startswith(TIMM) and not Path(weights).exists():
        return of_timm(weights.removeprefix(TIMM))
    path = Path(weights)
    path = path / "model.pt" if path.is_dir() else path
    if path.name == "model.pt" and not path.exists():  # of a run that has only its checkpoint
        return _of_trunk(trunk)
    source = read_source(path)
    if source.colours:
        return _colours(*source.colours)
    return CLIP if _is_clip(source.weights) else _of_trunk(trunk)


def _is_clip(weights: Weights) -> bool:
    """Return whether weights have the names of CLIP's visual half."""
    return all(any(name.split(".")[-1] == ending for name in weights) for ending in CLIPS)


def _of_trunk(trunk: str) -> Colours:
    """Return the colours of the weights that timm publishes for a trunk; ImageNet's if it publishes none."""
    if not trunk.startswith(TIMM):
        return IMAGENET
    try:
        return of_timm(trunk.removeprefix(TIMM))
    except ModelError:
        return IMAGENET


def _of_metadata(metadata: dict[str, object]) -> Colours | None:
    """Return the colours in a config.json of the hub, as timm's have them; None without any."""
    about = metadata.get("pretrained_cfg", metadata)
    try:
        return _colours(about["mean"], about["std"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None


def _colours(mean: object, std: object) -> Colours:
    """Return two triples of numbers. Raises TypeError or ValueError for anything else."""
    (r, g, b), (dr, dg, db) = ([float(one) for one in values] for values in (mean, std))  # type: ignore[attr-defined]
    return (r, g, b), (dr, dg, db)
