"""The `native` engine: DensePose R-CNN in torch and torchvision, batched by size, with a recipe for re-ID crops."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from dsa_app.errors import ConfigError
from dsa_reid.upload import upload

from ..network import DensePoseRCNN, Embedded, Surface
from ..network.boxes import rescale
from ..network.trunk import fold_norms
from ..recipe import Recipe
from ..vertices import MAKE, Vertices, read_vertices
from ..weights.checkpoint import Weights
from .embedded import Mesh, place_embedded
from .engine import Extracted
from .network_engine import NetworkEngine
from .people import Subject, canvas_ahead, choose_subject, detect_people, deterministic_inference, encode
from .placing import place_maps
from .sizing import Canvas, batches


@dataclass(frozen=True)
class Detections:
    """The people of one image, best first, on the CPU, float32.

    Attributes:
        boxes: (D, 4) XYXY in pixels of the image.
        scores: (D,).
        coarse_segm: (D, 2, 112, 112), a raw head, see `network.Surface`.
        fine_segm, u, v: (D, 25, 112, 112), raw heads.
        sigma_2, kappa_u, kappa_v: the same; None for models that do not have them.
    """

    boxes: Tensor
    scores: Tensor
    coarse_segm: Tensor
    fine_segm: Tensor
    u: Tensor
    v: Tensor
    sigma_2: Tensor | None = None
    kappa_u: Tensor | None = None
    kappa_v: Tensor | None = None


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
    """Detect the people in images, and the surface of each of them.

    Args:
        images: uint8 (H, W, 3) RGB, of any sizes; they are batched by size.
        min_size: see `Recipe`, as for all that follow.

    Returns:
        One result an image, in the order given.
    """
    recipe = Recipe(
        min_size=min_size,
        max_size=max_size,
        score_threshold=score_threshold,
        detections=detections,
        proposals=proposals,
        batch=batch,
    )
    results: dict[int, Detections] = {}
    for indices in batches([(image.shape[0], image.shape[1]) for image in images], min_size, max_size, batch):
        detected = _detect_batch(network, [images[index] for index in indices], recipe)
        results.update(zip(indices, detected, strict=True))
    return [results[index] for index in range(len(images))]


def _detect_batch(network: DensePoseRCNN, images: Sequence[np.ndarray], recipe: Recipe) -> list[Detections]:
    with deterministic_inference():
        encoded = encode(network, images, recipe)
        detected = detect_people(network, encoded, recipe)
        boxes = on_device([people.resized_boxes for people in detected], network.device)
        surface = network.surface(encoded.maps, boxes)
    # The heads of all boxes come one image after another: cut them apart again.
    results, start = [], 0
    for people in detected:
        heads = surface[start : start + len(people.boxes)]
        start += len(people.boxes)
        tensors = (people.boxes, people.scores, heads.coarse_segm, heads.fine_segm, heads.u, heads.v)
        stated = (x if x is None else x.cpu() for x in (heads.sigma_2, heads.kappa_u, heads.kappa_v))
        results.append(Detections(*(tensor.cpu() for tensor in tensors), *stated))
    return results


def heads_in(
    network: DensePoseRCNN,
    images: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray | Tensor],
    min_size: int = 256,
    max_size: int = 1333,
) -> list[Surface]:
    """Return the DensePose heads inside given boxes, without detection.

    Args:
        images: uint8 (H, W, 3) RGB.
        boxes: (D, 4) XYXY in pixels of the image, one array an image.
    """
    recipe = Recipe(min_size=min_size, max_size=max_size)
    surfaces = []
    for image, given in zip(images, boxes, strict=True):
        with deterministic_inference():
            encoded = encode(network, [image], recipe)
            of_image = torch.as_tensor(given, dtype=torch.float32, device=network.device).reshape(-1, 4)
            resized_boxes = rescale(of_image, encoded.sizes[0], encoded.resized[0])
            surfaces.append(network.surface(encoded.maps, [resized_boxes]))
    return surfaces


class NativeEngine(NetworkEngine):
    """The network with a checkpoint's weights, returning one I, U, V map an image.

    Of the people detected only the crop's own (`select.choose`) goes through the DensePose heads. Where no person is
    detected and the recipe allows it, the heads see the whole crop as the box.
    """

    name = "native"
    precisions: ClassVar = {"fp32": torch.float32, "bf16": torch.bfloat16}

    def __init__(self, *args: Any, vertices: Path | None = None, **kwargs: Any) -> None:
        """See `NetworkEngine`.

        Args:
            vertices: the table of vertices of a CSE model, see `vertices.read_vertices`.

        Raises ConfigError for a CSE model without the table, and for a table that the model does not use.
        """
        self.vertices = vertices
        self.mesh: Mesh | None = None
        self.table: Vertices | None = None
        super().__init__(*args, **kwargs)
        # While one batch waits for its boxes or its maps, the GPU computes the other. A CPU gains nothing.
        self.in_flight = 2 if self.device.type == "cuda" else 1
        self._of_thread = threading.local()

    def build_network(self, weights: Weights) -> DensePoseRCNN:
        """Return the network with these weights, its norms folded, in the engine's precision."""
        network = weights.network()
        if network.kind.embedding != (self.vertices is not None):
            raise ConfigError(
                f"extract.vertices is for models of embeddings (CSE), and {weights.source} has charts. Leave it out."
                if self.vertices
                else f"{weights.source} is a model of embeddings (CSE), and needs the charts of the mesh's vertices: "
                f"--vertices vertices.npz. {MAKE}"
            )
        if self.vertices is not None:
            self.table = read_vertices(self.vertices)
            self.mesh = Mesh(network.vertices().to(self.device), self.table)
        fold_norms(network)
        network.to(self.device, self.precisions[self.precision])
        if self.precision == "bf16":  # the layout that tensor cores read; on a CPU it makes no difference
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    @property
    def identity(self) -> dict[str, Any]:
        """See `NetworkEngine`; of a CSE model the table of vertices decides too."""
        return super().identity | ({} if self.table is None else {"vertices": self.table.digest})

    def canvas(self, images: Sequence[np.ndarray]) -> Canvas:
        """Return the images of a batch ready for the network; any thread may call this ahead of `extract`."""
        return canvas_ahead(images, self.recipe, self.device)

    def extract(self, images: Sequence[np.ndarray], canvas: Canvas | None = None) -> list[Extracted]:
        """Return the maps of one batch of RGB images, each uint8 (H, W, 3); several threads may call this.

        Args:
            canvas: what `canvas` returned for the same images; None to make it now.
        """
        with deterministic_inference(), self._own_stream():
            encoded = encode(self.network, images, self.recipe, canvas)
            detected = detect_people(self.network, encoded, self.recipe)
            fallback = self.recipe.missing == "fallback"
            subjects = [
                choose_subject(people, size, resized, fallback)
                for people, size, resized in zip(detected, encoded.sizes, encoded.resized, strict=True)
            ]
            # One box an image, or none: the heads of all subjects are computed together, one after another.
            no_box = torch.zeros((0, 4))
            boxes = [no_box if subject is None else subject.resized_box for subject in subjects]
            on_gpu = on_device(boxes, self.device)
            if self.mesh is not None:
                return self._extracted(subjects, self.network.embedded(encoded.maps, on_gpu), encoded.sizes)
            return self._extracted(subjects, self.network.surface(encoded.maps, on_gpu), encoded.sizes)

    @contextlib.contextmanager
    def _own_stream(self) -> Iterator[None]:
        """Compute on a stream of the calling thread's own on a GPU, so that it waits for no other thread's work.

        One stream a thread, not a batch: torch keeps the memory of each stream apart. The maps that `extract` returns
        are on the CPU, so that nothing of the stream's work is left when it returns.
        """
        if self.device.type != "cuda":
            yield
            return
        if not hasattr(self._of_thread, "stream"):
            device = self.network.device  # with its number, which a new thread does not know
            self._of_thread.stream = torch.cuda.Stream(device)
            self._of_thread.stream.wait_stream(torch.cuda.default_stream(device))  # where the weights are laid out
        with torch.cuda.stream(self._of_thread.stream):
            yield

    def _extracted(
        self, subjects: Sequence[Subject | None], heads: Surface | Embedded, sizes: Sequence[tuple[int, int]]
    ) -> list[Extracted]:
        """Return the maps of images: heads of the subjects, one after another, placed; empty ones without a subject."""
        found = [(subject, size) for subject, size in zip(subjects, sizes, strict=True) if subject is not None]
        fine = [self.fine(*size) for _, size in found]
        # The network says that there is no person outside the box.
        sure = [np.full(size, 255, np.uint8) if self.confidence else None for _, size in found]
        boxes, of_found = [subject.box for subject, _ in found], [size for _, size in found]
        if isinstance(heads, Embedded):
            assert self.mesh is not None
            each = enumerate(zip(boxes, of_found, fine, sure, strict=True))
            maps = [place_embedded(heads, n, box, size, self.mesh, *rest) for n, (box, size, *rest) in each]
        else:
            maps = place_maps(heads, boxes, of_found, fine, sure)
        placed = iter(zip(maps, fine, sure, strict=True))
        extracted = []
        for subject, size in zip(subjects, sizes, strict=True):
            if subject is None:
                extracted.append(Extracted.no_person(*size))
                continue
            iuv, of_image, confidence = next(placed)
            extracted.append(Extracted(iuv, subject.score, subject.box.numpy(), subject.status, of_image, confidence))
        return extracted


def on_device(boxes: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Return the boxes (D_b, 4) of each image on a device, copied there in one go."""
    return list(upload(torch.cat(list(boxes)), device).split([len(one) for one in boxes]))
