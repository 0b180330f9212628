"""Pretrained weights of the trunk: from ImageNet, from a file, or none; never silently random."""

from __future__ import annotations

import hashlib
import http.client
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights

from dsa_app.errors import CheckpointError, ConfigError
from dsa_reid.config import TIMM, MainStreamConfig
from dsa_reid.guard import check_stored
from dsa_reid.main_stream import MainStream
from dsa_reid.model import FORMAT
from dsa_reid.timm_trunk import TimmTrunk, download

IMAGENET: dict[str, str] = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    "resnet50_ibn": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
}
"""torchvision's IMAGENET1K_V1 weights, those of the paper's time, and the IBN authors'; names end in their SHA-256."""


def load_trunk(
    main_stream: MainStream,
    weights: str,
    conv5_init: Literal["random", "imagenet"] = "random",
    cache: Path | None = None,
) -> Path | None:
    """Load pretrained weights into the main stream's trunk and, by option, its global head.

    Args:
        weights: "imagenet" (timm's own published weights, for its trunks), "none" (leave them random), or a file: a
            torchvision ResNet's state dict, or a model.pt of ours, of which the same layers are taken.
        conv5_init: "imagenet" takes the global head (conv5_x) from the same weights; the local one stays random.
        cache: folder of downloads; torch hub's if None.

    Returns:
        The file that was read; None for "none", and for timm's weights, which are in its own cache.

    Raises:
        ModelError: if timm has no weights of a trunk, or cannot download them.
        CheckpointError: if the weights are missing, damaged, or of another network.
        ConfigError: for settings that contradict each other.
    """
    path = find_weights(main_stream.config, weights, conv5_init, cache)
    if isinstance(main_stream.trunk, TimmTrunk) and weights != "none":
        main_stream.trunk.load_pretrained()
    if path is None:
        return None
    trunk = main_stream.config.trunk
    state = _read(path)
    _fill(main_stream.trunk, _without_head(state), path, trunk)
    if conv5_init == "imagenet" and main_stream.global_head is not None:
        conv5 = {name[len("layer4.") :]: value for name, value in state.items() if name.startswith("layer4.")}
        _fill(main_stream.global_head, conv5, path, f"{trunk} layer4")
    return path


def find_weights(
    config: MainStreamConfig,
    weights: str,
    conv5_init: Literal["random", "imagenet"] = "random",
    cache: Path | None = None,
) -> Path | None:
    """Return the file with the pretrained weights of a main stream, downloaded if it is not there; build no network.

    Arguments, results and errors are those of `load_trunk`, but for a file of another network, which is not read here.
    """
    if conv5_init == "imagenet" and (weights == "none" or config.heads == "local"):
        raise ConfigError(
            "train.network.conv5_init=imagenet needs pretrained weights and a global head. Set "
            "train.network.conv5_init=random."
        )
    if weights == "none":
        return None
    if config.trunk.startswith(TIMM):
        if weights != "imagenet" or conv5_init == "imagenet":
            raise ConfigError(
                f"weights = {weights!r}, conv5_init = {conv5_init!r} is invalid for the trunk {config.trunk}: set "
                "weights=imagenet (timm's published weights) or weights=none, and conv5_init=random."
            )
        download(config.trunk.removeprefix(TIMM), config.size)
        return None
    if weights == "imagenet" and config.width != 1:
        raise ConfigError(
            f"ImageNet weights have width 1, this network has width {config.width}. Set train.network.main.width=1, or "
            "train.network.weights=none for random initial weights."
        )
    return _imagenet_file(config.trunk, cache) if weights == "imagenet" else Path(weights)


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


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                check_stored(archive, path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}. Set train.network.weights to another file."
        ) from None
    except Exception:  # torch raises many kinds for what it cannot read
        raise CheckpointError(
            f"{path} is damaged, or contains more than weights; no code in it was run. Download it again, or set "
            "train.network.weights to another file."
        ) from None
    ours = isinstance(state, Mapping) and state.get("format") == FORMAT
    state = state.get("state") if ours else state
    tensors = isinstance(state, Mapping) and all(isinstance(value, torch.Tensor) for value in state.values())
    if not tensors or not all(isinstance(name, str) for name in state):
        raise CheckpointError(
            f"{path} is not a state dict of tensors, as torchvision's files are. Set train.network.weights to another "
            "file."
        )
    return _torchvision_names(state) if ours else state


def _torchvision_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the trunk and the global head of a main stream under torchvision's names; without the local head."""
    named = {name.replace("global_head.", "layer4.", 1): value for name, value in state.items()}
    return {
        name.removeprefix("trunk."): value for name, value in named.items() if name.startswith(("trunk.", "layer4."))
    }


def _without_head(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state dict without conv5_x and the classifier; any other unknown name is an error later."""
    return {name: value for name, value in state.items() if not name.startswith(("layer4.", "fc."))}


def _fill(module: nn.Module, state: dict[str, torch.Tensor], path: Path, what: str) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).splitlines()[1:2]).strip()
        raise CheckpointError(
            f"{path} does not fit {what} (layers under torchvision's names): {reason} Set train.network.main.trunk and "
            "width to those of the file, or train.network.weights to another file."
        ) from None
