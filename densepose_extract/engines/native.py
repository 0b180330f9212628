"""The `native` engine: DensePose R-CNN in torch and torchvision, batched by size, made for re-ID crops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from ..network import DensePoseRCNN, Surface
from ..network.boxes import scaled
from ..network.trunk import fold_norms
from ..recipe import Recipe
from ..weights.checkpoint import Weights
from .engine import Extracted
from .network_engine import NetworkEngine
from .people import exactly, find, look, subject
from .placing import place
from .sizing import batches


@dataclass(frozen=True)
class Detections:
    """The people of one picture, best first, on the CPU, float32.

    `boxes` (D, 4) XYXY in pixels of the picture, `scores` (D,), `coarse_segm` (D, 2, 112, 112),
    `fine_segm`, `u`, `v` (D, 25, 112, 112): the raw heads, see `network.Surface`.
    """

    boxes: Tensor
    scores: Tensor
    coarse_segm: Tensor
    fine_segm: Tensor
    u: Tensor
    v: Tensor


def detect(
    network: DensePoseRCNN,
    images: Sequence[np.ndarray],
    min_size: int = 256,
    max_size: int = 1333,
    score_threshold: float = 0.05,
    detections: int = 5,
    proposals: int = 100,
    batch: int = 16,
) -> list[Detections]:
    """Find the people in pictures, and the surface of each of them.

    Args:
        images: uint8 (H, W, 3) RGB, of any sizes; they are batched by size.
        min_size: see `Recipe`, as for all that follow.

    Returns:
        One result a picture, in the order given.
    """
    recipe = Recipe(
        min_size=min_size,
        max_size=max_size,
        score_threshold=score_threshold,
        detections=detections,
        proposals=proposals,
        batch=batch,
    )
    found: dict[int, Detections] = {}
    for unit in batches([(i.shape[0], i.shape[1]) for i in images], min_size, max_size, batch):
        found.update(zip(unit, _detect(network, [images[i] for i in unit], recipe), strict=True))
    return [found[i] for i in range(len(images))]


def _detect(network: DensePoseRCNN, pictures: Sequence[np.ndarray], recipe: Recipe) -> list[Detections]:
    with exactly():
        view = look(network, pictures, recipe)
        people = find(network, view, recipe)
        surface = network.surface(view.maps, [each.small for each in people])
    results, start = [], 0
    for each in people:
        heads = surface[start : start + len(each.own)]
        start += len(each.own)
        tensors = (each.own, each.scores, heads.coarse_segm, heads.fine_segm, heads.u, heads.v)
        results.append(Detections(*(tensor.cpu() for tensor in tensors)))
    return results


def heads_in(
    network: DensePoseRCNN,
    images: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray | Tensor],
    min_size: int = 256,
    max_size: int = 1333,
) -> list[Surface]:
    """Return the DensePose heads inside given boxes, wherever the people are.

    Args:
        images: uint8 (H, W, 3) RGB.
        boxes: (D, 4) XYXY in pixels of the picture, one array a picture.
    """
    recipe = Recipe(min_size=min_size, max_size=max_size)
    surfaces = []
    for image, wanted in zip(images, boxes, strict=True):
        with exactly():
            view = look(network, [image], recipe)
            own = torch.as_tensor(wanted, dtype=torch.float32, device=network.device).reshape(-1, 4)
            surfaces.append(network.surface(view.maps, [scaled(own, view.sizes[0], view.small[0])]))
    return surfaces


class NativeEngine(NetworkEngine):
    """The network with a checkpoint's weights, answering with one IUV map a picture.

    Of the people found only the crop's own (`select.choose`) goes through the DensePose heads. Where nobody
    was found and the recipe says so, they go over the whole crop as the box.
    """

    name = "native"
    precisions: ClassVar = {"fp32": torch.float32, "bf16": torch.bfloat16}

    def filled(self, weights: Weights) -> DensePoseRCNN:
        """Return the network with these weights, its norms folded, in the engine's precision."""
        network = weights.network()
        fold_norms(network)
        network.to(self.device, self.precisions[self.precision])
        if self.precision == "bf16":  # the layout that tensor cores read; on a CPU neither better nor worse
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def extract(self, pictures: Sequence[np.ndarray]) -> list[Extracted]:
        """Answer for one batch of RGB pictures, each uint8 (H, W, 3)."""
        with exactly():
            view = look(self.network, pictures, self.recipe)
            fallback = self.recipe.missing == "fallback"
            everybody = zip(find(self.network, view, self.recipe), view.sizes, view.small, strict=True)
            subjects = [subject(people, size, small, fallback) for people, size, small in everybody]
            nothing = torch.zeros((0, 4), device=self.device)
            heads = self.network.surface(view.maps, [nothing if s is None else s.small for s in subjects])
            answers, k = [], 0
            for one, size in zip(subjects, view.sizes, strict=True):
                if one is None:
                    answers.append(Extracted.nobody(*size))
                    continue
                iuv = place(heads, k, one.own, *size)
                answers.append(Extracted(iuv, one.score, one.own.cpu().numpy(), one.status))
                k += 1
        return answers
