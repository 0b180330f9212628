"""DensePose R-CNN for inference, in torch and torchvision, with detectron2's state-dict names.

In the order of the forward pass: `trunk`, `pyramid`, `proposals` (with the box arithmetic of `boxes`), `box_head`,
`decoder`, `deeplab`, `charts` or `embedding`; `model` joins them. The architecture is that of detectron2's DensePose
project (Apache-2.0), confirmed by its outputs in tests/densepose_extract/fixtures.
"""

from .charts import Surface
from .embedding import Embedded
from .model import MODELS, DensePoseRCNN, build

__all__ = ["MODELS", "DensePoseRCNN", "Embedded", "Surface", "build"]
