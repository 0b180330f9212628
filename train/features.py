"""The features that are compared: of the main stream alone, or of both streams where the guide is to speak too."""

from __future__ import annotations

import torch

from data.console import progress
from data.errors import TrainingError
from dsa_reid.distances import join
from dsa_reid.main_stream import MainStream

from .augment import fill
from .config import Match
from .dataset import Batch, Pictures
from .network import TwoStream


@torch.inference_mode()
def extract(
    network: MainStream | TwoStream,
    pictures: Pictures,
    match: Match = "main",
    batch: int = 64,
    workers: int = 1,
    what: str = "Features",
) -> torch.Tensor:
    """Compute the features of all pictures, with the network in evaluation mode, as it is left.

    Args:
        network: a main stream for the match "main", else the whole network.
        pictures: with their DSAP unless the match is "main".
        batch: pictures at once.
        workers: threads that read.
        what: said of it while it goes on.

    Returns:
        float32 (N, D) on the CPU, the joined features each of length one.

    Raises:
        TrainingError: if the network has no such feature.
    """
    check_match(network, match)
    network.eval()
    order = [range(start, min(start + batch, len(pictures))) for start in range(0, len(pictures), batch)]
    device = next(network.parameters()).device
    found = [
        _features(network, read.to(device), pictures, match).float().cpu()
        for read in progress(pictures.batches(order, workers), len(pictures), what, each=0)
    ]
    return torch.cat(found)


def check_match(network: MainStream | TwoStream, match: Match) -> None:
    """Raise TrainingError unless the network has the features that `match` compares."""
    if match == "main":
        return
    if isinstance(network, MainStream) or network.guide is None:
        raise TrainingError(f"The match {match!r} needs the guide, and this network has none. Say --match main.")
    heads = network.main.config.heads
    if match != "fused" and heads not in ("both", match):
        raise TrainingError(f"The match {match!r} needs a {match} head, and this network has only a {heads} one.")


def _features(network: MainStream | TwoStream, batch: Batch, pictures: Pictures, match: Match) -> torch.Tensor:
    """Compute one batch's features, (B, D)."""
    images = pictures.preprocessing.normalise(batch.images)  # (B, 3, H, W)
    if match == "main":
        main = network.main if isinstance(network, TwoStream) else network
        return join(*main(images))
    assert batch.texels is not None, "the guide is shown part pictures"
    assert batch.valid is not None, "texels come with what is valid of them"
    outputs = network(images, fill(batch.texels, batch.valid, pictures.preprocessing))
    features = {"global": [outputs.z_global], "local": [outputs.z_local]}
    return join(*features.get(match, [outputs.z_global, outputs.z_local]))
