"""From pictures to people: the network's view of a batch, the boxes found in it, and the crop's own person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..network import DensePoseRCNN
from ..network.boxes import clip, holds, scaled
from ..recipe import Recipe
from ..select import choose
from .engine import Status
from .sizing import check, pixels, resized


@dataclass(frozen=True)
class View:
    """A batch of pictures as the network sees it: p2 .. p6, and the sizes (h, w) before and after resizing."""

    maps: list[Tensor]
    sizes: list[tuple[int, int]]
    small: list[tuple[int, int]]


@dataclass(frozen=True)
class People:
    """The people of one picture, best first: boxes (D, 4) XYXY in resized pixels and in its own, scores (D,)."""

    small: Tensor
    own: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Subject:
    """The one person of a crop: the box as (1, 4) in resized pixels, as (4,) in the picture's own."""

    small: Tensor
    own: Tensor
    score: float
    status: Status


def look(network: DensePoseRCNN, pictures: Sequence[np.ndarray], recipe: Recipe) -> View:
    """Compute the features of RGB pictures, uint8 (H, W, 3), that go into one batch."""
    for picture in pictures:
        check(picture)
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    small = [resized(height, width, recipe.min_size, recipe.max_size) for height, width in sizes]
    return View(network.features(pixels(pictures, small, network.device)), sizes, small)


def find(network: DensePoseRCNN, view: View, recipe: Recipe) -> list[People]:
    """Find the people of each picture."""
    proposals = network.propose(view.maps, view.small, recipe.proposals)
    people = network.people(view.maps, proposals, view.small, recipe.score_threshold, recipe.detections)
    found = []
    for (boxes, scores), size, small in zip(people, view.sizes, view.small, strict=True):
        own = clip(scaled(boxes, small, size), *size)
        keep = holds(own)
        found.append(People(boxes[keep], own[keep], scores[keep]))
    return found


def subject(people: People, size: tuple[int, int], small: tuple[int, int], fallback: bool) -> Subject | None:
    """Choose the crop's own person; where there is nobody, the whole crop if `fallback`, else None."""
    index = choose(people.own.cpu().numpy(), people.scores.cpu().numpy(), *size)
    if index is not None:
        score = float(people.scores[index])
        return Subject(people.small[index][None], people.own[index], score, "found")
    if not fallback:
        return None
    whole = people.own.new_tensor([0, 0, size[1], size[0]])
    return Subject(scaled(whole, size, small)[None], whole, 0.0, "fallback")


@contextlib.contextmanager
def exactly() -> Iterator[None]:
    """No gradients, and on a GPU the same arithmetic in every run: no autotuning, no TF32."""
    with (
        torch.no_grad(),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        yield
