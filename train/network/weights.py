"""Where the trunk's weights come from: ImageNet, a file, or nowhere; never silently from another place."""

from __future__ import annotations

import hashlib
import http.client
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import nn
from torchvision.models import ResNet18_Weights, ResNet50_Weights

from dsa_app.errors import CheckpointError, ConfigError
from dsa_reid.main_stream import MainStream
from dsa_reid.model import FORMAT
from dsa_reid.timm_trunk import TimmTrunk

IMAGENET = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    "resnet50_ibn": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
}
"""torchvision's first weights, those of the paper's time, and the IBN authors'; the names end in their SHA-256."""


def load_trunk(
    main_stream: MainStream,
    weights: str,
    conv5_init: Literal["random", "imagenet"] = "random",
    cache: Path | None = None,
) -> Path | None:
    """Give the main stream's trunk, and by option its global head, weights under torchvision's names, or timm's.

    Args:
        weights: "imagenet" (what timm publishes, for its trunks), "none" (leave them random), or a file with a
            torchvision ResNet's state dict, or a model.pt of ours, of which the same layers are taken.
        conv5_init: "imagenet" takes the global head (conv5_x) from the same weights; the local one stays random.
        cache: folder of downloads; torch hub's if None.

    Returns:
        The file that was read, None for "none" and for timm's, which lie in its own cache.

    Raises:
        ModelError: if timm cannot have a trunk's weights.
        CheckpointError: if the weights cannot be had, trusted, or are of another network.
        ConfigError: for settings that contradict each other.
    """
    if conv5_init == "imagenet" and (weights == "none" or main_stream.global_head is None):
        raise ConfigError(
            "conv5_init = 'imagenet' needs weights other than 'none', and a global head. Set conv5_init=random."
        )
    if weights == "none":
        return None
    config = main_stream.config
    if isinstance(main_stream.trunk, TimmTrunk):
        if weights != "imagenet" or conv5_init == "imagenet":
            raise ConfigError(
                f"{config.trunk} takes weights=imagenet, those that timm publishes, or none, and its heads start at "
                f"random; weights = {weights!r}, conv5_init = {conv5_init!r} do not hold."
            )
        main_stream.trunk.load_pretrained()
        return None
    if weights == "imagenet" and config.width != 1:
        raise ConfigError(
            f"ImageNet weights are of width 1, this network of width {config.width}. Set width=1, or weights=none "
            "to start from random ones."
        )
    path = _imagenet(config.trunk, cache) if weights == "imagenet" else Path(weights)
    state = _read(path)
    _fill(main_stream.trunk, _without_head(state), path, config.trunk)
    if conv5_init == "imagenet" and main_stream.global_head is not None:
        conv5 = {name[len("layer4.") :]: value for name, value in state.items() if name.startswith("layer4.")}
        _fill(main_stream.global_head, conv5, path, f"{config.trunk} layer4")
    return path


def _imagenet(trunk: str, cache: Path | None) -> Path:
    """Return torchvision's file, fetched if the cache does not have it, and checked either way."""
    url = IMAGENET[trunk]
    path = (cache or Path(torch.hub.get_dir()) / "checkpoints") / url.rsplit("/", 1)[-1]
    digest = path.stem.rsplit("-", 1)[-1]
    if not path.exists():
        _fetch(url, path, digest)
    elif not hashlib.sha256(path.read_bytes()).hexdigest().startswith(digest):
        raise CheckpointError(f"{path} is cut short or damaged (its SHA-256 is another). Remove it and run again.")
    return path


def _fetch(url: str, path: Path, digest: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise CheckpointError(
            f"ImageNet weights could not be fetched from {url} ({error}). Fetch that file where there is a network "
            f"and put it at {path}, or name it by weights=FILE; weights=none starts from random ones."
        ) from None


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}. Name another file by weights=FILE.") from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, EOFError, ValueError):
        raise CheckpointError(
            f"{path} is damaged, or holds more than weights; no code in it was run. "
            "Fetch it again, or name another file by weights=FILE."
        ) from None
    if isinstance(state, Mapping) and state.get("format") == FORMAT:
        state = _torchvision_names(state["state"])
    if not isinstance(state, Mapping) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(f"{path} is not a state dict of tensors, as torchvision's files are.")
    return state


def _torchvision_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the trunk and the global head of a main stream as conv1 to conv5_x; the local one is not theirs."""
    named = {name.replace("global_head.", "layer4.", 1): value for name, value in state.items()}
    return {
        name.removeprefix("trunk."): value for name, value in named.items() if name.startswith(("trunk.", "layer4."))
    }


def _without_head(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Leave out what a classifier has after conv4_x; anything else that is unknown is an error."""
    return {name: value for name, value in state.items() if not name.startswith(("layer4.", "fc."))}


def _fill(module: nn.Module, state: dict[str, torch.Tensor], path: Path, what: str) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).splitlines()[1:2]).strip()
        raise CheckpointError(f"{path} does not hold a {what} by torchvision's names: {reason}") from None
