"""The `detectron2` engine: the same model through detectron2 and its DensePose project, as the reference.

This is the one module that imports detectron2, and only when an engine is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from dsa_app.errors import EngineError

from ..network import MODELS
from ..network.embedding import FEATURES, VERTICES
from ..recipe import Recipe
from ..select import choose
from ..weights.checkpoint import Weights, fill
from .engine import Extracted, Status
from .network_engine import NetworkEngine
from .people import deterministic_inference
from .placing import integer_box, paste
from .sizing import check_image, resize, resized_size

SOURCE = "git+https://github.com/facebookresearch/detectron2.git@02b5c4e295e990042a714712c21dc79b731e8833"
INSTALL = f"""\
  pip install setuptools wheel ninja av
  pip install --no-build-isolation '{SOURCE}'
  pip install --no-build-isolation --no-deps '{SOURCE}#subdirectory=projects/DensePose'"""


class DetectronEngine(NetworkEngine):
    """detectron2's own network, detection and resampling, with this project's choice of the person and its rounding."""

    name = "detectron2"
    precisions: ClassVar = {"fp32": torch.float32}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """See `NetworkEngine`. Raises EngineError if detectron2 or its DensePose project is missing."""
        require()
        super().__init__(*args, **kwargs)

    def build_network(self, weights: Weights) -> Any:
        """Return detectron2's network with these weights."""
        if MODELS[weights.model].embedding:
            raise EngineError(
                f"{weights.source} is a model of embeddings (CSE), which the engine detectron2 does not run. "
                "Use --engine native."
            )
        network = build(weights.model, self.recipe, self.device)
        fill(network, weights.entries, weights.source)
        return network

    def extract(self, images: Sequence[np.ndarray]) -> list[Extracted]:
        """Return the maps of one batch of RGB images, each uint8 (H, W, 3)."""
        with deterministic_inference():
            inputs = [self._input(image) for image in images]
            return [self._extracted(*pair) for pair in zip(inputs, self.network(inputs), strict=True)]

    def _input(self, image: np.ndarray) -> dict[str, Any]:
        check_image(image)
        height, width = image.shape[:2]
        resized = resize(image, resized_size(height, width, self.recipe.min_size, self.recipe.max_size))
        bgr = torch.from_numpy(resized).flip(-1).permute(2, 0, 1)  # (3, h, w)
        return {"image": bgr, "height": height, "width": width}

    def _extracted(self, item: dict[str, Any], output: dict[str, Any]) -> Extracted:
        from densepose.converters import ToChartResultConverter

        people, size = output["instances"], (item["height"], item["width"])
        index = choose(people.pred_boxes.tensor.cpu().numpy(), people.scores.cpu().numpy(), *size)
        score: float = 0.0
        status: Status = "fallback"
        if index is not None:
            score, status = float(people.scores[index]), "found"
        elif self.recipe.missing == "fallback":
            index, people = 0, self._whole_crop(item)
        else:
            return Extracted.no_person(*size)
        box = people.pred_boxes.tensor[index]
        chart = ToChartResultConverter.convert(people.pred_densepose[index], people.pred_boxes[index])
        iuv = np.zeros((*size, 3), np.uint8)
        fine = self.fine(*size)
        paste(iuv, chart.labels, chart.uv, *integer_box(box)[:2], fine)
        return Extracted(iuv, score, box.cpu().numpy(), status, fine)

    def _whole_crop(self, item: dict[str, Any]) -> Any:
        from detectron2.structures import Boxes, Instances

        height, width = item["image"].shape[1:]
        everything = Instances((height, width))
        everything.pred_boxes = Boxes(torch.tensor([[0.0, 0.0, width, height]]))
        everything.pred_classes = torch.zeros(1, dtype=torch.long)
        return self.network.inference([item], [everything])[0]["instances"]


def require() -> None:
    """Raise EngineError, with the commands to install it, if detectron2 or DensePose is missing."""
    try:
        import densepose  # noqa: F401
        import detectron2  # noqa: F401
    except ImportError as error:
        raise EngineError(
            f"The engine detectron2 is not installed ({error}). Use --engine native, which is the same model, "
            f"or install it. Its build needs the torch that is installed, hence no build isolation:\n{INSTALL}"
        ) from None


def build(model: str, recipe: Recipe, device: torch.device) -> Any:
    """Return detectron2's network for one of `MODELS`, configured as its repository's files of the s1x models."""
    from densepose import add_densepose_config
    from detectron2.config import CfgNode, get_cfg
    from detectron2.modeling import build_model

    kind = MODELS[model]
    cfg = get_cfg()
    add_densepose_config(cfg)
    cfg.MODEL.DEVICE = str(device)
    cfg.MODEL.BACKBONE.NAME = "build_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.DEPTH = kind.depth
    cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[32], [64], [128], [256], [512]]
    cfg.MODEL.RPN.IN_FEATURES = ["p2", "p3", "p4", "p5", "p6"]
    cfg.MODEL.RPN.PRE_NMS_TOPK_TEST = 1000
    cfg.MODEL.RPN.POST_NMS_TOPK_TEST = recipe.proposals
    cfg.MODEL.ROI_HEADS.NAME = "DensePoseROIHeads"
    cfg.MODEL.ROI_HEADS.IN_FEATURES = ["p2", "p3", "p4", "p5"]
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 1
    cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = recipe.score_threshold
    cfg.MODEL.ROI_BOX_HEAD.NAME = "FastRCNNConvFCHead"
    cfg.MODEL.ROI_BOX_HEAD.NUM_FC = 2
    cfg.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = 7
    cfg.MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO = 2
    cfg.MODEL.ROI_BOX_HEAD.POOLER_TYPE = "ROIAlign"
    cfg.MODEL.ROI_DENSEPOSE_HEAD.NAME = "DensePoseDeepLabHead" if kind.deeplab else "DensePoseV1ConvXHead"
    cfg.MODEL.ROI_DENSEPOSE_HEAD.POOLER_TYPE = "ROIAlign"
    if kind.embedding:
        cfg.MODEL.ROI_DENSEPOSE_HEAD.PREDICTOR_NAME = "DensePoseEmbeddingPredictor"
        mesh = {"TYPE": "vertex_feature", "NUM_VERTICES": VERTICES, "FEATURE_DIM": FEATURES, "INIT_FILE": ""}
        mesh |= {"FEATURES_TRAINABLE": False, "IS_TRAINABLE": True}
        cfg.MODEL.ROI_DENSEPOSE_HEAD.CSE.EMBEDDERS = CfgNode({"smpl_27554": mesh})
    cfg.MODEL.ROI_DENSEPOSE_HEAD.UV_CONFIDENCE.ENABLED = kind.variances != "none"
    cfg.MODEL.ROI_DENSEPOSE_HEAD.UV_CONFIDENCE.TYPE = "indep_aniso" if kind.variances == "correlated" else "iid_iso"
    cfg.MODEL.ROI_DENSEPOSE_HEAD.SEGM_CONFIDENCE.ENABLED = kind.scaled_labels
    cfg.TEST.DETECTIONS_PER_IMAGE = recipe.detections
    return build_model(cfg).eval().requires_grad_(False)
