"""Pretrained weights of the trunk: from ImageNet, a file, the hub, or none; never silently random."""

from __future__ import annotations

import hashlib
import http.client
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights

from dsa_app.assignments import assignments
from dsa_app.errors import CheckpointError, ConfigError
from dsa_reid.config import OSNETS, RESNETS, TIMM, MainStreamConfig
from dsa_reid.hub import HUB, WEIGHTS, fetch_weights
from dsa_reid.main_stream import MainStream
from dsa_reid.part_heads import MgnHead
from dsa_reid.timm_trunk import TimmTrunk, download, repository

from .weights_file import read_source
from .weights_layouts import Target
from .weights_match import Pretrained, match

CONV4, CONV5 = "layer3.", "layer4."  # torchvision's names of conv4_x and conv5_x
IMAGENET: dict[str, str] = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    "resnet50_ibn": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
    "resnet101_ibn": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet101_ibn_a-59ea0ac6.pth",
}
"""torchvision's IMAGENET1K_V1 weights, those of the paper's time, and the IBN authors'; names end in their SHA-256."""


def load_trunk(
    main_stream: MainStream,
    weights: str,
    conv5_init: Literal["random", "imagenet"] = "random",
    cache: Path | None = None,
) -> Path | None:
    """Load pretrained weights into the main stream's trunk and, by option, its global head.

    Returns:
        The file that was read; None for "none", and for timm's weights, which are in the hub's cache.

    Arguments and errors are those of `load_weights`.
    """
    path = find_weights(main_stream.config, weights, conv5_init, cache)
    _load(main_stream, weights, path, conv5_init)
    return path


def load_weights(
    main_stream: MainStream,
    weights: str,
    conv5_init: Literal["random", "imagenet"] = "random",
    cache: Path | None = None,
) -> Pretrained | None:
    """Load pretrained weights into the main stream's trunk and, by option, its global head; return the report.

    Args:
        weights: "imagenet" (for a timm trunk the weights that timm publishes), "none" (leave them random), a file in
            any layout of `weights_layouts`, "hf-hub:OWNER/NAME", or "timm/NAME" for timm's weights of that name.
        conv5_init: "imagenet" takes the global head (conv5_x) from the same weights; the local one stays random.
        cache: folder of downloads; torch hub's if None.

    Returns:
        Which weights were taken; None for "none".

    Raises:
        ModelError: if timm or the hub has no such weights, or they cannot be downloaded.
        CheckpointError: if the weights are missing, damaged, or of another network.
        ConfigError: for settings that contradict each other.
    """
    return _load(main_stream, weights, find_weights(main_stream.config, weights, conv5_init, cache), conv5_init)


def _load(
    main_stream: MainStream, weights: str, path: Path | None, conv5_init: Literal["random", "imagenet"]
) -> Pretrained | None:
    """Load the weights of a file, or timm's where it has loaded them itself; arguments as `load_weights`."""
    trunk = main_stream.trunk
    if path is None:
        if weights == "none":
            return None
        assert isinstance(trunk, TimmTrunk), "all others have a file"
        trunk.load_pretrained()
        return Pretrained(
            weights, "", "loaded by timm", sum(map(torch.is_floating_point, trunk.body.state_dict().values()))
        )
    taken, report = match(read_source(path), _target(main_stream, conv5_init), main_stream.config.trunk)
    names = trunk.names(trunk.whole()) if isinstance(trunk, TimmTrunk) else {name: name for name in trunk.state_dict()}
    body: nn.Module = trunk.body if isinstance(trunk, TimmTrunk) else trunk
    body.load_state_dict({own: taken[name] for own, name in names.items() if name in taken}, strict=False)
    if conv5_init == "imagenet" and (lost := [name for name in report.missing if name.startswith(CONV5)]):
        raise CheckpointError(
            f"{path} does not fit train.network.conv5_init=imagenet: it has no {lost[0]}. Name another file, or add: "
            + assignments({"train.network.conv5_init": "random"})
        )
    for copies in _pretrained_heads(main_stream, conv5_init):
        for name, value in copies.items():
            if name in taken:
                value.copy_(taken[name])
    return report._replace(source=weights) if weights.startswith((HUB, TIMM)) and str(path) != weights else report


def _target(main_stream: MainStream, conv5_init: Literal["random", "imagenet"]) -> Target:
    """Return the weights that a main stream takes from a file."""
    trunk = main_stream.trunk
    if isinstance(trunk, TimmTrunk):
        whole, own = trunk.whole(), trunk.body.state_dict()
        names = trunk.names(whole)
        return Target({names[name]: value for name, value in own.items()}, names, whole)
    wanted = dict(trunk.state_dict())
    for copies in _pretrained_heads(main_stream, conv5_init):
        wanted |= copies
    return Target(wanted, {})


def _pretrained_heads(
    main_stream: MainStream, conv5_init: Literal["random", "imagenet"]
) -> list[dict[str, torch.Tensor]]:
    """Return the weights of heads that a file has, by torchvision's names: of the global head, or of MGN's branches.

    MGN's branches have the rest of conv4_x, which is the trunk's in all other networks.
    """
    head, takes_conv5 = main_stream.part_head, conv5_init == "imagenet"
    if isinstance(head, MgnHead):
        found = []
        for branch in head.branches:
            conv4, conv5 = (part.state_dict() for part in branch.children())
            named = {_later_block(name): value for name, value in conv4.items()}
            found.append(named | ({f"{CONV5}{name}": value for name, value in conv5.items()} if takes_conv5 else {}))
        return found
    if not takes_conv5 or main_stream.global_head is None:
        return []
    return [{f"{CONV5}{name}": value for name, value in main_stream.global_head.state_dict().items()}]


def _later_block(name: str) -> str:
    """Return torchvision's name of a weight of the blocks after conv4_x's first: "0.conv1.weight" is layer3.1's."""
    number, _, rest = name.partition(".")
    return f"{CONV4}{int(number) + 1}.{rest}"


def find_weights(
    config: MainStreamConfig,
    weights: str,
    conv5_init: Literal["random", "imagenet"] = "random",
    cache: Path | None = None,
) -> Path | None:
    """Return the file with the pretrained weights of a main stream, downloaded if it is not there; build no network.

    Arguments, results and errors are those of `load_trunk`, but for a file of another network, which is not read here.
    """
    if conv5_init == "imagenet" and (lacking := _lacks_for_conv5(config, weights)):
        raise ConfigError(
            f"train.network.conv5_init=imagenet needs {lacking}. Change that, or add: "
            + assignments({"train.network.conv5_init": "random"})
        )
    if weights == "none":
        return None
    if weights.startswith(HUB):
        return fetch_weights(weights.removeprefix(HUB))
    if weights.startswith(TIMM) and not Path(weights).exists():
        name, file = repository(weights.removeprefix(TIMM))
        return fetch_weights(name, [file] if file else WEIGHTS)
    if weights != "imagenet":
        return Path(weights)
    if config.trunk.startswith(TIMM):
        download(config.trunk.removeprefix(TIMM), config.size)
        return None
    if config.trunk in OSNETS:
        raise ConfigError(
            f"torchreid's ImageNet weights of {config.trunk} are not downloaded. Set train.network.weights to the file "
            "of its model zoo, or add, for random initial weights: " + assignments({"train.network.weights": "none"})
        )
    if config.width != 1:
        raise ConfigError(
            f"ImageNet weights have width 1, this network has width {config.width}. Add: "
            f"{assignments({'train.network.main.width': 1})}; or, for random initial weights: "
            + assignments({"train.network.weights": "none"})
        )
    return _imagenet_file(config.trunk, cache)


def _lacks_for_conv5(config: MainStreamConfig, weights: str) -> str:
    """Return what a network lacks for pretrained weights of conv5_x, and what it has instead; "" if it has all."""
    if config.trunk not in RESNETS:
        return f"one of the trunks {', '.join(RESNETS)}, and train.network.main.trunk is {config.trunk}"
    if config.heads == "local":
        return "a global head, and train.network.main.heads is local"
    if config.head == "plain":
        return "a global head of conv5_x, and train.network.main.head is plain"
    return "pretrained weights, and train.network.weights is none" if weights == "none" else ""


def _imagenet_file(trunk: str, cache: Path | None) -> Path:
    """Return the published file, downloaded if the cache does not have it, after checking its SHA-256."""
    url = IMAGENET[trunk]
    folder = cache or Path(torch.hub.get_dir()) / "checkpoints"
    path = folder / url.rsplit("/", 1)[-1]
    digest = path.stem.rsplit("-", 1)[-1]
    if not path.exists():
        _download(url, path, digest)
    elif not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
        raise CheckpointError(
            f"{path} is truncated or damaged: its SHA-256 does not start with {digest}. Delete it and run again."
        )
    return path


def _download(url: str, path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise CheckpointError(
            f"ImageNet weights could not be downloaded from {url} ({error}). Download that file on a machine with "
            f"network access and put it at {path}, or set train.network.weights to its path; "
            "train.network.weights=none starts from random weights."
        ) from None
