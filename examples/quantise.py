"""int8 for ONNX Runtime: a model's convolutions quantised with the ranges that some of your images have.

python examples/quantise.py model.pt images/ model_int8.onnx

The images are crops as your cameras give them, some hundred. What the rounding costs is measured by
examples/deployed_accuracy.py; examples/README.md shows how. Needs the extra `export`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

import dsa_reid
from dsa_reid.reading import batches

BATCH = 16
IMAGES = 256  # that ranges are measured on, at most
QUANTISED = ["Conv"]  # sums, pooling and the lengths of features stay float32


class Images(CalibrationDataReader):
    """Batches of images for the ranges of activations."""

    def __init__(self, images: Iterable[np.ndarray]) -> None:
        self.images = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next batch by the name of the graph's input; None after the last."""
        batch = next(self.images, None)
        return None if batch is None else {"images": batch}


def quantise(model: str | Path, crops: Sequence[Any], out: str | Path) -> Path:
    """Write a model as ONNX with int8 convolutions; return the file.

    Args:
        model: a model.pt.
        crops: images as `embed` takes them, whose activations set the ranges.
        out: the file. It takes uint8 RGB (B, height, width, 3), resized as by `dsa_reid.load(model).preprocessing`.
    """
    network = dsa_reid.load(model)
    out = Path(out)
    with tempfile.TemporaryDirectory() as folder:
        plain, folded = Path(folder) / "plain.onnx", Path(folder) / "folded.onnx"
        dsa_reid.export(network, plain, normalise="inside", resize="outside")
        # Batch norm into the convolutions. Symbolic shapes are left out: it fails on a batch of any size.
        quant_pre_process(str(plain), str(folded), skip_symbolic_shape=True)
        images = (batch.numpy() for batch in batches(crops[:IMAGES], network.preprocessing, BATCH))
        quantize_static(
            str(folded),
            str(out),
            Images(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=QUANTISED,
            per_channel=True,  # weights: a scale for each channel
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        about = next(one.value for one in onnx.load(str(plain)).metadata_props if one.key == "dsa_reid")
    written = onnx.load(str(out))
    del written.metadata_props[:]
    stated = {**json.loads(about), "quantised": "int8, static, convolutions alone"}
    written.metadata_props.add(key="dsa_reid", value=json.dumps(stated, sort_keys=True))
    onnx.save(written, str(out))
    return out


if __name__ == "__main__":
    source, images, target = sys.argv[1:]
    print(quantise(source, sorted(Path(images).rglob("*.jpg")), target))
