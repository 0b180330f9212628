"""Pretrained weights of a new network: ImageNet's for the trunk, or both streams of a finished run.

The paper pre-trains on CUHK03 for CUHK01, which is small.
"""

from __future__ import annotations

from pathlib import Path

from dsa_app.assignments import assignments
from dsa_app.errors import CheckpointError
from dsa_reid.config import TIMM
from dsa_reid.hub import WEIGHTS
from dsa_reid.main_stream import vit_options
from dsa_reid.model import digest_of
from dsa_reid.timm_trunk import maps_of

from . import checkpoint
from .network.config import NetworkConfig
from .network.two_stream import TwoStream
from .network.weights import find_weights, load_weights
from .network.weights_match import Pretrained
from .run_settings import FILE as SETTINGS

MODEL = "model.pt"
SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
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
        path = _checkpoint(path)
    elif found := find_weights(config.main, config.weights, config.conv5_init):
        path = found
    else:
        return
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist. Set train.network.weights to another file or run.")


def _checkpoint(run: Path) -> Path:
    """Return the checkpoint of the run in a folder. Raises CheckpointError, with what would do, if it has none."""
    path = run / "checkpoint.pt"
    if path.is_file():
        return path
    files = [name for name in (MODEL, *WEIGHTS) if (run / name).is_file()]
    files += sorted(one.name for one in run.glob("*") if one.suffix in SUFFIXES and one.name not in files)
    remedy = "Name the folder of a finished run, or a file of weights."
    if files:
        setting = assignments({"train.network.weights": str(run / files[0])})
        remedy = f"For the trunk of {files[0]} alone, add: {setting}"
    raise CheckpointError(
        f"{path} does not exist: a folder of weights is that of a run of the same network, with checkpoint.pt, "
        f"{MODEL} and {SETTINGS}. {remedy}"
    )


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
    path = _checkpoint(run)
    state = checkpoint.load(path)
    weights = {name: value for name, value in state["network"].items() if not name.startswith(OF_IDENTITIES)}
    wanted = {name: value for name, value in network.state_dict().items() if not name.startswith(OF_IDENTITIES)}
    different = sorted(weights.keys() ^ wanted.keys()) or [
        name for name, value in wanted.items() if weights[name].shape != value.shape
    ]
    if different:
        raise CheckpointError(
            f"{path} has another network: {different[0]} and {len(different) - 1} more weights differ. Use that run's "
            f"settings of train.network (in {run / SETTINGS}), or for the trunk of its {MODEL} alone add: "
            + assignments({"train.network.weights": str(run / MODEL)})
        )
    network.load_state_dict(weights, strict=False)  # the names were compared above
    unused = tuple(name for name in state["network"] if name.startswith(OF_IDENTITIES))
    return Pretrained(f"{run.name}/{path.name}", digest_of(path), "both streams of a run", len(weights), unused=unused)
