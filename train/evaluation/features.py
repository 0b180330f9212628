"""The features that are compared: of the main stream alone, or of both streams where the guide is to speak too."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from dsa_app.console import progress
from dsa_app.errors import TrainingError
from dsa_reid.main_stream import MainStream
from dsa_reid.metric import join

from ..batches.augment import fill, mirror_table, mirrored
from ..batches.dataset import Batch, Images
from ..network.two_stream import TwoStream
from .config import Match


def extract(
    network: MainStream | TwoStream,
    pictures: Images,
    match: Match = "main",
    batch: int = 64,
    workers: int = 1,
    what: str = "Features",
    flip: bool = False,
) -> torch.Tensor:
    """Compute the features of all pictures, with the network in evaluation mode, as it is left.

    Args:
        network: a main stream for the match "main", else the whole network.
        pictures: with their DSAP unless the match is "main".
        batch: pictures at once.
        workers: threads that read.
        what: said of it while it goes on.
        flip: average each picture's features with those of its mirror image.

    Returns:
        float32 (N, D) on the CPU, the joined features each of length one.

    Raises:
        TrainingError: if the network has no such feature, or a feature is not a number.
    """
    return torch.cat(list(extracted(network, pictures, match, batch, workers, what, flip)))


@torch.inference_mode()
def extracted(
    network: MainStream | TwoStream,
    pictures: Images,
    match: Match = "main",
    batch: int = 64,
    workers: int = 1,
    what: str = "Features",
    flip: bool = False,
) -> Iterator[torch.Tensor]:
    """Yield what `extract` returns, float32 (B, D), batch after batch."""
    check_match(network, match)
    network.eval()
    order = [range(start, min(start + batch, len(pictures))) for start in range(0, len(pictures), batch)]
    device = next(network.parameters()).device
    batches = progress(pictures.batches(order, workers), len(pictures), what, each=0)
    for places, read in zip(order, batches, strict=True):
        seen = read.to(device)
        found = _features(network, seen, pictures, match)
        if flip:
            mirrors = _features(network, _mirror_image(seen, pictures), pictures, match)
            found = [(one + other) / 2 for one, other in zip(found, mirrors, strict=True)]
        features = join(*found).float().cpu()
        broken = (~features.isfinite().all(1)).nonzero().flatten().tolist()
        if broken:
            raise TrainingError(
                f"The feature of {pictures.records[places[broken[0]]].key} is not a number. The network did not train "
                "properly; look at its losses."
            )
        yield features


def check_match(network: MainStream | TwoStream, match: Match) -> None:
    """Raise TrainingError unless the network has the features that `match` compares."""
    if match == "main":
        return
    if isinstance(network, MainStream) or network.guide is None:
        raise TrainingError(f"The match {match!r} needs the guide, and this network has none. Say --match main.")
    heads = network.main.config.heads
    if match in ("global", "local") and heads not in ("both", match):
        raise TrainingError(f"The match {match!r} needs a {match} head, and this network has only a {heads} one.")


def lengths(network: MainStream | TwoStream, match: Match) -> dict[str, int]:
    """Return what a feature joins and how long each part is: {"global": G, "local": G}."""
    main = network if isinstance(network, MainStream) else network.main
    heads = match if match in ("global", "local") else main.config.heads
    found = {head: main.feature_width for head in ("global", "local") if heads in ("both", head)}
    if match == "fused" and isinstance(network, TwoStream) and network.apart:  # the guide's, then the main stream's
        found |= {f"main {head}": main.feature_width for head in found}
    return found


def _features(network: MainStream | TwoStream, batch: Batch, pictures: Images, match: Match) -> list[torch.Tensor]:
    """Compute one batch's features that are to be joined, (B, D) or (B, 8, L) each."""
    images = pictures.preprocessing.normalise(batch.images)  # (B, 3, H, W)
    if match == "main":
        main = network.main if isinstance(network, TwoStream) else network
        return [feature for feature in main(images) if feature is not None]
    assert batch.texels is not None, "the guide is shown part pictures"
    assert batch.valid is not None, "texels come with what is valid of them"
    assert isinstance(network, TwoStream), "check_match has seen to it"
    outputs = network(images, fill(batch.texels, batch.valid, pictures.preprocessing))
    fused = [outputs.z_global, outputs.z_local]
    if network.apart:
        fused += [outputs.f_global, outputs.f_local]
    features = {
        "fused": fused,
        "global": [outputs.z_global],
        "local": [outputs.z_local],
        "guide": [outputs.d_global, outputs.d_local],
    }
    found = features[match]
    return [feature for feature in found if feature is not None]


def _mirror_image(batch: Batch, pictures: Images) -> Batch:
    """Return pictures flipped from left to right, and their DSAP mirrored by its own rule."""
    images = batch.images.flip(2)
    if batch.texels is None or batch.valid is None:
        return Batch(images)
    assert pictures.store is not None, "texels come from a store"
    table = mirror_table(pictures.store.header.configuration["warp"]["parts"], pictures.store.size)
    everyone = torch.ones(len(batch), dtype=torch.bool, device=images.device)
    return Batch(images, *mirrored(batch.texels, batch.valid, everyone, table.to(images.device)))
