"""The features that are compared: of the main stream alone, or of both streams for a match that needs the guide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from dsa_app.console import progress
from dsa_app.errors import TrainingError
from dsa_reid.config import REGIONS
from dsa_reid.main_stream import MainStream
from dsa_reid.metric import join
from dsa_reid.model import VISIBILITY
from dsa_reid.region_pooling import label_shares
from dsa_reid.vit import camera_indices

from ..batches.augment import fill, mirror_table, mirrored
from ..batches.dataset import Batch, Images
from ..network.two_stream import TwoStream
from .config import Match


def extract(
    network: MainStream | TwoStream,
    images: Images,
    match: Match = "main",
    batch: int = 64,
    workers: int = 1,
    what: str = "Features",
    flip: bool = False,
    visible: bool = False,
) -> torch.Tensor:
    """Return the features of all images. Leaves the network in evaluation mode.

    Args:
        network: a main stream for the match "main", else the whole network.
        images: N images, with their DSAP unless the match is "main".
        batch: images that go through the network together.
        workers: threads that read.
        what: the title of the progress bar.
        flip: average each image's features with those of its mirror image.
        visible: append the visibilities of the eight regions.

    Returns:
        float32 (N, D) on the CPU: the features that `match` joins, each L2-normalised.

    Raises:
        TrainingError: if the network has no such feature, or a feature is not a number.
    """
    return torch.cat(list(extract_batches(network, images, match, batch, workers, what, flip, visible)))


@torch.inference_mode()
def extract_batches(
    network: MainStream | TwoStream,
    images: Images,
    match: Match = "main",
    batch: int = 64,
    workers: int = 1,
    what: str = "Features",
    flip: bool = False,
    visible: bool = False,
) -> Iterator[torch.Tensor]:
    """Yield what `extract` returns, float32 (B, D), batch after batch."""
    check_match(network, match)
    _check_regions(network, images, visible)
    network.eval()
    order = [range(start, min(start + batch, len(images))) for start in range(0, len(images), batch)]
    device = next(network.parameters()).device
    batches = progress(images.batches(order, workers), len(images), what, each=0)
    for indices, read in zip(order, batches, strict=True):
        moved = read.to(device)
        cameras = _cameras(network, [images.records[index].camid for index in indices], device)
        features, seen = _features(network, moved, images, match, cameras)
        if flip:
            mirrored_ones, seen_there = _features(network, _mirror_image(moved, images), images, match, cameras)
            features = [(one + other) / 2 for one, other in zip(features, mirrored_ones, strict=True)]
            seen = None if seen is None or seen_there is None else (seen + seen_there) / 2
        joint = join(*features).float()  # (B, D)
        if visible and seen is not None:
            joint = torch.cat([joint, seen.float()], dim=1)  # (B, D + 8)
        joint = joint.cpu()
        broken = (~joint.isfinite().all(1)).nonzero().flatten().tolist()
        if broken:
            raise TrainingError(
                f"The feature of {images.records[indices[broken[0]]].key} is not a number (NaN). The network did not "
                "train properly; look at its losses."
            )
        yield joint


def check_match(network: MainStream | TwoStream, match: Match) -> None:
    """Raise TrainingError unless the network has the features that `match` compares."""
    if match == "main":
        return
    if isinstance(network, MainStream) or network.guide is None:
        raise TrainingError(f"The match {match!r} needs the guide, and this network has none. Use --match main.")
    heads = network.main.config.heads
    if match in ("global", "local") and heads not in ("both", match):
        raise TrainingError(f"The match {match!r} needs a {match} head, and this network has only a {heads} one.")


def _check_regions(network: MainStream | TwoStream, images: Images, visible: bool) -> None:
    """Raise TrainingError unless the network predicts the regions that are asked for."""
    main = network if isinstance(network, MainStream) else network.main
    asked = "A comparison by visibilities" if visible else "evaluate.regions=labels"
    if (visible or images.regions_of is not None) and not main.config.predicts_regions:
        raise TrainingError(
            f"{asked} needs a network that predicts body regions, and this network does not. Train it with "
            "train.network.main.local_pooling=regions."
        )


def lengths(network: MainStream | TwoStream, match: Match, visible: bool = False) -> dict[str, int]:
    """Return the parts that a feature joins and their dimensions, as in {"global": 2048, "local": 2048}."""
    main = network if isinstance(network, MainStream) else network.main
    heads = match if match in ("global", "local") else main.config.heads
    parts = {head: width for head, width in main.parts.items() if heads in ("both", head)}
    if match == "fused" and isinstance(network, TwoStream) and network.apart:  # the guide's, then the main stream's
        parts |= {f"main {head}": width for head, width in parts.items()}
    return parts | ({VISIBILITY: REGIONS} if visible else {})


def _cameras(network: MainStream | TwoStream, camids: Sequence[int], device: torch.device) -> torch.Tensor | None:
    """Return the indices of images' cameras, int64 (B), for a network that has an embedding of the camera."""
    config = (network.main if isinstance(network, TwoStream) else network).config
    return camera_indices(config.cameras, camids).to(device) if config.sie else None


def _features(
    network: MainStream | TwoStream, batch: Batch, images: Images, match: Match, cameras: torch.Tensor | None
) -> tuple[list[torch.Tensor], torch.Tensor | None]:
    """Return one batch's features that are to be joined, (B, D) or (B, 8, L) each, and the visibilities (B, 8)."""
    normalised = images.preprocessing.normalise(batch.images)  # (B, 3, H, W)
    if match == "main":
        main = network.main if isinstance(network, TwoStream) else network
        look = main.look(normalised, None if batch.regions is None else label_shares(batch.regions), cameras)
        features = main.after_necks(look.features)
        return [feature for feature in features if feature is not None], look.visibility
    assert batch.texels is not None, "the guide needs part images"
    assert batch.valid is not None, "texels come with their mask"
    assert isinstance(network, TwoStream), "check_match has refused all others"
    parts = fill(batch.texels, batch.valid, images.preprocessing)
    outputs = network(normalised, parts, cameras=cameras)
    fused = [outputs.z_global, outputs.z_local]
    if network.apart:
        fused += [outputs.f_global, outputs.f_local]
    by_match = {
        "fused": fused,
        "global": [outputs.z_global],
        "local": [outputs.z_local],
        "guide": [outputs.d_global, outputs.d_local],
    }
    return [feature for feature in by_match[match] if feature is not None], outputs.visibility


def _mirror_image(batch: Batch, images: Images) -> Batch:
    """Return images flipped from left to right, and their DSAP mirrored by its own rule."""
    flipped = batch.images.flip(2)
    regions = None if batch.regions is None else batch.regions.flip(2)  # left and right are one region
    if batch.texels is None or batch.valid is None:
        return Batch(flipped, regions=regions)
    assert images.store is not None, "texels come from a store"
    table = mirror_table(images.store.header.configuration["warp"]["parts"], images.store.size)
    all_of_them = torch.ones(len(batch), dtype=torch.bool, device=flipped.device)
    return Batch(flipped, *mirrored(batch.texels, batch.valid, all_of_them, table.to(flipped.device)))
