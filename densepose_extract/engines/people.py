"""From images to people: the features of a batch, the boxes detected in it, and each crop's own person."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..network import DensePoseRCNN
from ..network.boxes import clip, has_area, rescale
from ..recipe import Recipe
from ..select import choose
from .engine import Status
from .sizing import Canvas, check_image, make_canvas, resized_size, to_network


@dataclass(frozen=True)
class Encoded:
    """A batch of B images after the backbone.

    Attributes:
        maps: p2 .. p6, each (B, 256, h, w).
        sizes: height and width of each image.
        resized: height and width of each image as the network got it.
        canvas: the images, held while a GPU may still read them.
    """

    maps: list[Tensor]
    sizes: list[tuple[int, int]]
    resized: list[tuple[int, int]]
    canvas: Canvas


@dataclass(frozen=True)
class People:
    """The D people of one image, best first, on the CPU.

    Attributes:
        boxes: (D, 4) XYXY in pixels of the image.
        resized_boxes: the same in pixels of the resized image.
        scores: (D,).
    """

    boxes: Tensor
    resized_boxes: Tensor
    scores: Tensor


@dataclass(frozen=True)
class Subject:
    """The one person of a crop, on the CPU.

    Attributes:
        box: (4,) XYXY in pixels of the image.
        resized_box: (1, 4) in pixels of the resized image.
        score: the detector's; 0 for a fallback.
        status: "found", or "fallback" where the whole crop is the box.
    """

    box: Tensor
    resized_box: Tensor
    score: float
    status: Status


def encode(
    network: DensePoseRCNN, images: Sequence[np.ndarray], recipe: Recipe, canvas: Canvas | None = None
) -> Encoded:
    """Compute the features of RGB images, uint8 (H, W, 3), as one batch. Raises ImageError for another array.

    Args:
        canvas: of the images, by `canvas_ahead`; None to make it now.
    """
    if canvas is None:
        canvas = canvas_ahead(images, recipe, network.device)
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    return Encoded(network.features(to_network(canvas, network.device)), sizes, canvas.sizes, canvas)


def canvas_ahead(images: Sequence[np.ndarray], recipe: Recipe, device: torch.device) -> Canvas:
    """Return RGB images, uint8 (H, W, 3), ready for the network. Raises ImageError for another array."""
    for image in images:
        check_image(image)
    sizes = [resized_size(image.shape[0], image.shape[1], recipe.min_size, recipe.max_size) for image in images]
    return make_canvas(images, sizes, device)


def detect_people(network: DensePoseRCNN, encoded: Encoded, recipe: Recipe) -> list[People]:
    """Detect the people of each image, on the CPU: the batch's boxes and scores are copied there in one go."""
    proposals = network.propose(encoded.maps, encoded.resized, recipe.proposals)
    detected = network.people(encoded.maps, proposals, encoded.resized, recipe.score_threshold, recipe.detections)
    numbers = [len(scores) for _, scores in detected]
    of_all, scores_of_all = (torch.cat(tensors) for tensors in zip(*detected, strict=True))
    joined = torch.cat([of_all, scores_of_all[:, None]], dim=1).cpu()  # (ΣD, 5)
    people = []
    for of_image, size, resized in zip(joined.split(numbers), encoded.sizes, encoded.resized, strict=True):
        resized_boxes, scores = of_image[:, :4], of_image[:, 4]
        boxes = clip(rescale(resized_boxes, resized, size), *size)
        keep = has_area(boxes)
        people.append(People(boxes[keep], resized_boxes[keep], scores[keep]))
    return people


def choose_subject(people: People, size: tuple[int, int], resized: tuple[int, int], fallback: bool) -> Subject | None:
    """Return the crop's own person; if none was detected, the whole crop if `fallback`, else None.

    Args:
        size: height and width of the image.
        resized: the same after resizing.
    """
    index = choose(people.boxes.numpy(), people.scores.numpy(), *size)
    if index is not None:
        score = float(people.scores[index])
        return Subject(people.boxes[index], people.resized_boxes[index][None], score, "found")
    if not fallback:
        return None
    whole = people.boxes.new_tensor([0, 0, size[1], size[0]])
    return Subject(whole, rescale(whole, size, resized)[None], 0.0, "fallback")


class SharedFlags:
    """cuDNN's flags for the same arithmetic in every run, which several threads may ask for at the same time.

    The flags are the whole process's: the first thread sets them, and the last one restores what was set before. If
    each thread did both, the first one to end would change the arithmetic of the others.
    """

    def __init__(self) -> None:
        self._lock, self._threads = threading.Lock(), 0
        self._flags = contextlib.ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if not self._threads:
                self._flags.enter_context(
                    torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
                )
            self._threads += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._threads -= 1
            if not self._threads:
                self._flags.close()


_same_arithmetic = SharedFlags()


@contextlib.contextmanager
def deterministic_inference() -> Iterator[None]:
    """Compute without gradients, and on a GPU with the same arithmetic in every run: no autotuning, no TF32."""
    with torch.no_grad(), _same_arithmetic:
        yield
