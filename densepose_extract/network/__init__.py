"""DensePose R-CNN for inference, in torch and torchvision, with detectron2's state-dict names.

Read in the order in which a picture passes: `trunk`, `pyramid`, `proposals` (with the box arithmetic of
`boxes`), `box_head`, `decoder`, `charts` or `deeplab`; `model` joins them. The facts come from detectron2's
DensePose project (Apache-2.0) and are confirmed by the golden outputs in tests/densepose_extract/fixtures.
"""

from .charts import Surface
from .model import MODELS, DensePoseRCNN, build

__all__ = ["MODELS", "DensePoseRCNN", "Surface", "build"]
