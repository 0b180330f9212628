"""The rows of a probe: the same maps, pooled into eight local features in different ways."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dsa_app.console import progress
from dsa_reid.region_pooling import RegionHead, position, stripes

from .config import ProbeConfig
from .head import fit
from .maps import KeptMaps, Maps
from .pooling import pool, template

AVERAGE, STRIPES, TEMPLATE = "whole image", "stripes", "average person's regions (template)"
OTHERS, OWN = "regions predicted, fitted to other people's maps", "regions predicted, fitted to own maps"
AT_TEST = "own maps, in the test images too"
CELLS = 300_000  # to which a head is fitted, at most
Reals = NDArray[np.float32]


@dataclasses.dataclass(frozen=True)
class RegionLabels:
    """The region labels of all N images at the grid of one stride.

    Attributes:
        shares: float16 (N, 9, h, w), see `labels.cell_shares`.
        known: bool (N,): which images have a map.
        others: (N,), for each training image the index of another person's image, whose labels it gets as a control.
        fitted: indices of the training images to which heads are fitted, all with a map.
        unseen: indices of the training images with a map that are left out, on which cells are counted.
    """

    shares: NDArray[np.float16]
    known: NDArray[np.bool_]
    others: NDArray[np.int64]
    fitted: NDArray[np.int64]
    unseen: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Pooled:
    """The features of all images at one stride.

    Attributes:
        rows: by row and repetition, float32 (N, D).
        right: by row, the share of cells of unseen training images whose largest class is that of their map.
    """

    rows: dict[str, list[Reals]]
    right: dict[str, float]


def pool_level(kept: KeptMaps, stride: int, labels: RegionLabels, at_test: bool, config: ProbeConfig) -> Pooled:
    """Return the rows of one stride.

    Args:
        at_test: whether there are maps of the test images, so that there is a row with them.
    """
    _, grid = kept.shape(stride)
    average = template(labels.shares[labels.fitted], labels.known[labels.fitted])  # (1, 9, h, w)
    heads = {
        row: [_fitted(kept, stride, labels, row == OTHERS, config, seed) for seed in range(config.seeds)]
        for row in (OTHERS, OWN)
    }
    found: dict[str, list[list[Reals]]] = {}
    right: dict[str, list[float]] = {}
    for chunk in progress(kept.chunks(), kept.count, f"Pooling at stride {stride}", each=0):
        images, seen = chunk.images, _seen(kept, stride, chunk.maps)
        weights = {
            AVERAGE: [torch.ones(1, 1, *grid)],
            STRIPES: [stripes(*grid)],
            TEMPLATE: [average[:, 1:]],
            **({AT_TEST: [_own(labels, images, average)[:, 1:]]} if at_test else {}),
        }
        counted = np.isin(np.arange(images.start, images.stop), labels.unseen)
        classes = torch.from_numpy(labels.shares[images][counted].astype(np.float32)).argmax(1)  # (n, h, w)
        right.setdefault(TEMPLATE, []).extend(_right(average.argmax(1), classes))
        for row, ones in heads.items():
            shares = [_shares(head, seen) for head in ones]
            weights[row] = [one[:, 1:] for one in shares]
            right.setdefault(row, []).extend(_right(shares[0][counted].argmax(1), classes))
        for row, repeats in weights.items():
            pooled = [pool(chunk.maps[stride], one).flatten(1).numpy() for one in repeats]
            for n, one in enumerate(pooled):
                found.setdefault(row, [[] for _ in pooled])[n].append(one)
    rows = {row: [np.concatenate(parts) for parts in repeats] for row, repeats in found.items()}
    return Pooled(rows, {row: float(np.mean(ones)) if ones else float("nan") for row, ones in right.items()})


def _fitted(
    kept: KeptMaps, stride: int, labels: RegionLabels, others: bool, config: ProbeConfig, seed: int
) -> RegionHead:
    """Return a head fitted to sampled cells of training images, with their own labels or other people's."""
    generator = torch.Generator().manual_seed(1000 * config.seed + seed)
    rng = np.random.default_rng([config.seed, seed])
    _, (h, w) = kept.shape(stride)
    each = max(1, min(h * w, CELLS // max(1, len(labels.fitted))))
    places_of = position(torch.empty(1, 1, h, w))[0].flatten(1).T  # (h w, 2)
    cells, places, targets = [], [], []
    for chunk in kept.chunks():
        images = chunk.images
        chosen = labels.fitted[(labels.fitted >= images.start) & (labels.fitted < images.stop)]
        source = labels.others[chosen] if others else chosen
        seen = _seen(kept, stride, {key: one[chosen - images.start] for key, one in chunk.maps.items()}).flatten(2)
        shares = torch.from_numpy(labels.shares[source]).flatten(2)
        pick = torch.from_numpy(np.argsort(rng.random((len(chosen), h * w)), axis=1)[:, :each])  # (n, each)
        cells.append(torch.take_along_dim(seen, pick[:, None], 2).transpose(1, 2).flatten(0, 1))
        targets.append(torch.take_along_dim(shares, pick[:, None], 2).transpose(1, 2).flatten(0, 1))
        places.append(places_of[pick.flatten()])
    return fit(
        torch.cat(cells), torch.cat(places), torch.cat(targets), config.steps, config.cells, config.rate, generator
    )


def _seen(kept: KeptMaps, stride: int, maps: Maps) -> torch.Tensor:
    """Return what a head sees: the map of its stride, with the coarser map resized beside it where there is one."""
    coarse = [one for other, one in maps.items() if other > stride]
    _, grid = kept.shape(stride)
    return torch.cat([maps[stride], *(F.interpolate(one, grid, mode="bilinear") for one in coarse)], dim=1)


@torch.inference_mode()
def _shares(head: RegionHead, seen: torch.Tensor) -> torch.Tensor:
    """Return the shares (B, 9, h, w) that a head predicts; they sum to 1 in each cell."""
    logits: torch.Tensor = head(seen)
    return logits.softmax(1)


def _own(labels: RegionLabels, images: slice, average: torch.Tensor) -> torch.Tensor:
    """Return the labels of some images (n, 9, h, w), the template for those without a map."""
    shares = torch.from_numpy(labels.shares[images].astype(np.float32))
    known = torch.from_numpy(labels.known[images])[:, None, None, None]
    return shares.where(known, average)


def _right(guessed: torch.Tensor, classes: torch.Tensor) -> Sequence[float]:
    return [float(one) for one in (guessed == classes).float().flatten(1).mean(1)]


def joined(levels: Sequence[dict[str, list[Reals]]]) -> Iterator[tuple[str, list[Reals]]]:
    """Yield each row of several levels with its features side by side, each level scaled to the same mean variance."""
    for row in levels[0]:
        repeats = []
        for ones in zip(*(level[row] for level in levels), strict=True):
            repeats.append(np.concatenate([one / max(float(one.std(0).mean()), 1e-12) for one in ones], axis=1))
        yield row, repeats
