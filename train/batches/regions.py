"""Labels of where the body regions are: read from the DSAP store, moved with the image, and their mean.

An image of regions is uint8 (H, W): 0 for the background, 1 to 8 for the regions in the order of `BODY_REGIONS`, and
`NO_MAP` in an image in which no person was detected.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from dsa_app.errors import TrainingError
from dsa_data.charts import NO_MAP
from dsa_reid.region_pooling import CLASSES, in_cells, label_shares

from .augment import Augmentation, crop_and_flip, inside_boxes
from .dataset import CHUNK, Images


def moved(regions: torch.Tensor, sampled: Augmentation, pad: int) -> torch.Tensor:
    """Crop, flip and erase images of regions (B, H, W) as their images; padding and erased boxes are background.

    Left and right are one region, so a flip changes no number.
    """
    unknown = (regions == NO_MAP).flatten(1).all(1)
    erased = inside_boxes(regions.shape[1:], sampled)  # (B, H, W)
    seen = crop_and_flip(regions[..., None], sampled, pad)[..., 0].masked_fill(erased, 0)
    return seen.masked_fill(unknown[:, None, None], NO_MAP)


def moved_confidence(confidence: torch.Tensor, sampled: Augmentation, pad: int) -> torch.Tensor:
    """Move the confidence of labels, uint8 (B, H, W), as `moved` does; padding and erased boxes have 255."""
    doubt = crop_and_flip(255 - confidence[..., None], sampled, pad)[..., 0]  # padding has none
    return 255 - doubt.masked_fill(inside_boxes(confidence.shape[1:], sampled), 0)


def weighted_shares(regions: torch.Tensor, confidence: torch.Tensor | None = None) -> torch.Tensor:
    """Return the shares of pixels (`label_shares`), each times its confidence: float32 (B, 9, H, W).

    Args:
        regions: uint8 (B, H, W).
        confidence: uint8 (B, H, W), in 255ths; None for 1 everywhere.
    """
    shares = label_shares(regions)
    return shares if confidence is None else shares * (confidence.float() / 255)[:, None]


def of_other_people(pids: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return for each image the index of an image of another person; no index comes twice.

    Args:
        pids: int64 (N,).
        generator: a CPU generator; the same state gives the same order.

    Raises TrainingError if one person has more than half of the images.
    """
    N = len(pids)
    others = torch.randperm(N, generator=generator)
    for index in (pids[others] == pids).nonzero().flatten().tolist():
        if pids[others[index]] != pids[index]:  # exchanged before
            continue
        # Exchange with an image of which neither the person nor the one whose index it has is this person.
        free = ((pids != pids[index]) & (pids[others] != pids[index])).nonzero().flatten()
        if not len(free):
            raise TrainingError(
                "train.regions.labels=other needs images of other people for every image, and one person has more than "
                "half of all. Use labels=own, or more people."
            )
        other = free[torch.randint(len(free), (), generator=generator)]
        others[[index, int(other)]] = others[[int(other), index]]
    return others


def has_labels(images: Images) -> bool:
    """Return whether any of the images has a label."""
    starts = range(0, len(images), CHUNK)
    parts = (images.read_regions(range(start, min(start + CHUNK, len(images)))) for start in starts)
    return any(bool((part != NO_MAP).any()) for part in parts)


def mean_label_maps(images: Images, sizes: Sequence[tuple[int, int]]) -> list[torch.Tensor]:
    """Return the mean shares of all images with a label, in cells of each size, left and right alike: (9, h, w) each.

    Raises TrainingError if no image has a label.
    """
    H, W = images.preprocessing.height, images.preprocessing.width
    total, known = torch.zeros(CLASSES, H, W), 0
    for start in range(0, len(images), CHUNK):
        regions = images.read_regions(range(start, min(start + CHUNK, len(images))))
        shares = label_shares(regions.cpu())
        total += shares.sum(0)
        known += int(shares.flatten(1).any(1).sum())
    if not known:
        raise TrainingError(
            "No training image has a map of the body, on which region heads are trained. Make the maps: "
            "densepose-extract run, then dsap build."
        )
    mean = total / known
    mean = (mean + mean.flip(2)) / 2  # half of the images are flipped in training
    return [in_cells(mean[None], size)[0] for size in sizes]
