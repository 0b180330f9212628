"""Pretrained weights of a new network: ImageNet's for the trunk, or both streams of a finished run.

The paper pre-trains on CUHK03 for CUHK01, which is small.
"""

from __future__ import annotations

from pathlib import Path

from dsa_app.errors import CheckpointError
from dsa_reid.config import TIMM
from dsa_reid.main_stream import vit_options
from dsa_reid.model import digest_of
from dsa_reid.timm_trunk import maps_of

from . import checkpoint
from .network.config import NetworkConfig
from .network.two_stream import TwoStream
from .network.weights import find_weights, load_weights
from .network.weights_match import Pretrained

OF_IDENTITIES = ("classifiers.", "centres.")  # of the other run's dataset


def find_pretrained(config: NetworkConfig) -> None:
    """Fetch the pretrained weights of a network before it is built, which takes long: offline, the error is at once.

    So it is for a timm trunk that has no fitting map for images of its size, or is not the ViT that settings are for.

    Raises:
        CheckpointError, ConfigError, ModelError: as `load_pretrained`; a file is not read yet.
    """
    if config.main.trunk.startswith(TIMM):
        maps_of(config.main.trunk.removeprefix(TIMM), config.main.size, vit_options(config.main))
    path = Path(config.weights)
    if config.weights not in ("imagenet", "none") and path.is_dir():
        path = path / "checkpoint.pt"
    elif found := find_weights(config.main, config.weights, config.conv5_init):
        path = found
    else:
        return
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist. Set train.network.weights to another file or run.")


def load_pretrained(network: TwoStream, config: NetworkConfig) -> Pretrained | None:
    """Load the pretrained weights that `config.weights` names, a folder being that of a run; return which they are.

    Raises:
        CheckpointError, ConfigError, ModelError: as `load_weights` and `load_run`.
    """
    run = Path(config.weights)
    if config.weights not in ("imagenet", "none") and run.is_dir():
        return load_run(network, run)
    return load_weights(network.main, config.weights, config.conv5_init)


def load_run(network: TwoStream, run: Path) -> Pretrained:
    """Load the weights of the run in the folder `run`, without its classifiers and the centres of a centre loss.

    Returns the report.

    Raises:
        CheckpointError: if its checkpoint cannot be read, or has another network.
    """
    path = run / "checkpoint.pt"
    state = checkpoint.load(path)
    weights = {name: value for name, value in state["network"].items() if not name.startswith(OF_IDENTITIES)}
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith(OF_IDENTITIES)}
    different = sorted(weights.keys() ^ wanted.keys()) or [
        name for name, value in wanted.items() if weights[name].shape != value.shape
    ]
    if different:
        raise CheckpointError(
            f"{path} has another network: {different[0]} and {len(different) - 1} more weights differ. Use that run's "
            f"settings of train.network, with train.network.weights={run}."
        )
    network.load_state_dict(weights, strict=False)  # the names were compared above
    unused = tuple(name for name in state["network"] if name.startswith(OF_IDENTITIES))
    return Pretrained(f"{run.name}/{path.name}", digest_of(path), "both streams of a run", len(weights), unused=unused)
