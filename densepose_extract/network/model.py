"""DensePose R-CNN as a whole: pixels to features, to boxes, to the body's surface in each box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dsa_app.config import suggestion
from dsa_app.errors import EngineError

from . import charts
from .box_head import BoxHead, BoxPredictor, best_people, people_together
from .charts import ChartHead, ChartPredictor, Surface, Variances
from .decoder import Decoder
from .deeplab import DeepLabHead
from .embedding import Embedded, Embedder, EmbeddingPredictor
from .pooling import pool
from .proposals import ProposalNetwork
from .pyramid import STRIDES, Pyramid


@dataclass(frozen=True)
class Kind:
    """What distinguishes the published models.

    Attributes:
        depth: of the trunk, 50 or 101.
        deeplab: whether the DensePose head is DeepLab's.
        variances: which variances of u and v the predictor states, see `charts.Variances`.
        scaled_labels: whether it states how sure its labels are (the models "M"), and scales their logits by that.
        embedding: whether the predictor has embeddings of vertices (CSE) in place of charts.
    """

    depth: int
    deeplab: bool = False
    variances: Variances = "none"
    scaled_labels: bool = False
    embedding: bool = False


def _kinds() -> dict[str, Kind]:
    suffixes: dict[str, tuple[Variances, bool]] = {
        "": ("none", False),
        "WC1_": ("equal", False),
        "WC2_": ("correlated", False),
        "WC1M_": ("equal", True),
        "WC2M_": ("correlated", True),
    }
    trunks = [(depth, deeplab) for deeplab in (False, True) for depth in (50, 101)]
    charts = {
        f"R_{depth}_FPN_{'DL_' if deeplab else ''}{suffix}s1x": Kind(depth, deeplab, *rest)
        for suffix, rest in suffixes.items()
        for depth, deeplab in trunks
    }
    embeddings = {
        f"CSE_R_{depth}_FPN_{'DL_' if deeplab else ''}s1x": Kind(depth, deeplab, embedding=True)
        for depth, deeplab in trunks
    }
    return charts | embeddings


MODELS = _kinds()
"""The models by detectron2's names; WC is "with confidence". CSE stands for its folder configs/cse."""

PIXEL_MEAN = (103.53, 116.28, 123.675)  # B, G, R of ImageNet, 0 .. 255


class RoiHeads(nn.Module):
    """The heads that see one region at a time, and the decoder whose map the DensePose head's regions are cut from."""

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.box_head = BoxHead()
        self.box_predictor = BoxPredictor()
        self.decoder = Decoder()
        self.densepose_head = DeepLabHead() if kind.deeplab else ChartHead()
        if kind.embedding:
            self.densepose_predictor: nn.Module = EmbeddingPredictor()
            self.embedder = Embedder()
        else:
            self.densepose_predictor = ChartPredictor(kind.variances, kind.scaled_labels)


class DensePoseRCNN(nn.Module):
    """The network, for inference. Its state dict has the names and shapes of detectron2's.

    The dtype of its parameters is its precision. Boxes, regions of interest, scores and the raw heads are float32 at
    every precision.
    """

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.backbone = Pyramid(kind.depth)
        self.proposal_generator = ProposalNetwork()
        self.roi_heads = RoiHeads(kind)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return self.roi_heads.decoder.predictor.weight.device

    def features(self, pixels: Tensor) -> list[Tensor]:
        """Return p2 .. p6 of float32 BGR `pixels` (B, 3, H, W), less `PIXEL_MEAN`, padded to multiples of 32."""
        maps: list[Tensor] = self.backbone(pixels.to(self.roi_heads.decoder.predictor.weight.dtype))
        return maps

    def propose(self, maps: list[Tensor], sizes: list[tuple[int, int]], count: int) -> list[Tensor]:
        """Return at most `count` proposed boxes an image: B x (P, 4). `sizes` are without the padding."""
        proposals: list[Tensor] = self.proposal_generator(maps, sizes, count)
        return proposals

    def people(
        self,
        maps: list[Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        threshold: float,
        count: int,
    ) -> list[tuple[Tensor, Tensor]]:
        """Return each image's people, best first: boxes (D, 4) in pixels of the resized image and scores (D,)."""
        x = self.roi_heads.box_head(maps[:4], proposals)
        boxes, scores = self.roi_heads.box_predictor(x, torch.cat(proposals))
        lengths = [len(p) for p in proposals]
        if boxes.is_cuda and boxes.numel():
            return people_together(boxes, scores, lengths, sizes, threshold, count)
        each = zip(boxes.split(lengths), scores.split(lengths), sizes, strict=True)
        return [best_people(box, score, size, threshold, count) for box, score, size in each]

    def surface(self, maps: list[Tensor], boxes: list[Tensor]) -> Surface:
        """Return the DensePose heads of B x (D_b, 4) boxes in pixels of the resized images, one image after another."""
        if not any(len(b) for b in boxes):
            return Surface.empty(self.device)
        surface: Surface = self.roi_heads.densepose_predictor(self._head(maps, boxes))
        return surface

    def embedded(self, maps: list[Tensor], boxes: list[Tensor]) -> Embedded:
        """Return the heads of a CSE model, as `surface` does."""
        if not any(len(b) for b in boxes):
            return Embedded.empty(self.device)
        heads: Embedded = self.roi_heads.densepose_predictor(self._head(maps, boxes))
        return heads

    def vertices(self) -> Tensor:
        """Return the vectors (27554, 16), float32, of the vertices of a CSE model."""
        vectors: Tensor = self.roi_heads.embedder.embedder_smpl_27554()
        return vectors

    def _head(self, maps: list[Tensor], boxes: list[Tensor]) -> Tensor:
        """Return what the DensePose head makes of the boxes: (ΣD_b, 512, 28, 28)."""
        x = self.roi_heads.decoder(maps[:4])
        x = pool(x, boxes, charts.SIZE, STRIDES[0])  # (ΣD_b, 256, 28, 28)
        features: Tensor = self.roi_heads.densepose_head(x)
        return features


def build(name: str) -> DensePoseRCNN:
    """Return the model `name`, one of `MODELS`, in evaluation mode, with random weights.

    Raises EngineError for an unknown name.
    """
    if name not in MODELS:
        raise EngineError(f"Unknown DensePose model {name!r}.{suggestion(name, MODELS)}")
    return DensePoseRCNN(MODELS[name]).eval().requires_grad_(False)
