"""The first weights of a new network: ImageNet's for the trunk, or all that a finished run has learnt of people.

The paper pre-trains on CUHK03 for CUHK01, which is small.
"""

from __future__ import annotations

from pathlib import Path

from dsa_app.errors import CheckpointError

from . import checkpoint
from .network.two_stream import NetworkConfig, TwoStream
from .network.weights import load_trunk

CLASSIFIERS = "classifiers."  # of the other data's identities


def initialise(network: TwoStream, config: NetworkConfig) -> None:
    """Give a network its first weights, as `config.weights` says; a folder is that of a run.

    Raises:
        CheckpointError, ConfigError, ModelError: as `load_trunk` and `take_over`.
    """
    run = Path(config.weights)
    if config.weights not in ("imagenet", "none") and run.is_dir():
        take_over(network, run)
    else:
        load_trunk(network.main, config.weights, config.conv5_init)


def take_over(network: TwoStream, run: Path) -> None:
    """Give both streams the weights of the run in the folder `run`, all but its classifiers, which start anew.

    Raises:
        CheckpointError: if the checkpoint there cannot be read, or is of another network.
    """
    path = run / "checkpoint.pt"
    state = checkpoint.load(path)
    weights = {name: value for name, value in state["network"].items() if not name.startswith(CLASSIFIERS)}
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith(CLASSIFIERS)}
    other = sorted(weights.keys() ^ wanted.keys()) or [
        name for name, value in wanted.items() if weights[name].shape != value.shape
    ]
    if other:
        raise CheckpointError(
            f"{path} is of another network: {other[0]} and {len(other) - 1} more differ. Take the run's own settings "
            "of train.network, and of train.network.weights this folder."
        )
    network.load_state_dict(weights, strict=False)  # the names were compared above; classifiers are left out
