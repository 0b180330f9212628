"""A model for BoxMOT's trackers: the file that its ONNX backend reads, and its preprocessing, to measure what it costs.

python examples/boxmot_reid.py model.pt resnet50_dsa.onnx
boxmot track --reid resnet50_dsa.onnx ...

As BoxMOT 25.0.0 has it (boxmot/reid/backends): the suffix .onnx chooses the backend. The graph has one input of four
dimensions, float32 (B, 3, height, width), whose height and width are the size that crops are resized to. Crops are
resized by cv2.INTER_LINEAR, which skips pixels where it shrinks an image, and normalised by ImageNet's mean and
deviation. Features are divided by their length. Older versions (boxmot/appearance/backends) resize to 256x128 whatever
the graph says, and build the network that the file's name begins with: a name as resnet50_dsa.onnx works in both.

Nothing is lost if the tracker is given the features instead: tracker.update(detections, frame, features), with
examples/tracker.py for the features.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

import dsa_reid

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of BoxMOT, and of ImageNet's weights


def export(model: str | Path, out: str | Path) -> Path:
    """Write a model as BoxMOT reads it; return the file. Raises ValueError for other colours than ImageNet's."""
    network = dsa_reid.load(model)
    colours = network.preprocessing
    if not (np.allclose(colours.mean, MEAN, atol=1e-4) and np.allclose(colours.std, STD, atol=1e-4)):
        raise ValueError(
            f"{model} was trained with the mean {colours.mean} and deviation {colours.std}, and BoxMOT normalises by "
            "ImageNet's. Train with train.network.colours=imagenet, or give the tracker features: examples/tracker.py."
        )
    return dsa_reid.export(network, out, normalise="outside")


def prepared(crops: Sequence[np.ndarray], height: int, width: int) -> np.ndarray:
    """Return crops as BoxMOT gives them to the graph, float32 (B, 3, height, width).

    Args:
        crops: uint8 (H, W, 3), BGR as OpenCV reads them.
    """
    resized = [cv2.resize(crop, (width, height), interpolation=cv2.INTER_LINEAR) for crop in crops]
    rgb = np.stack(resized)[..., ::-1].astype(np.float32) / 255  # (B, height, width, 3)
    normalised = (rgb - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2))


if __name__ == "__main__":
    print(export(*sys.argv[1:]))
