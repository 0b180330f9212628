"""An engine of TensorRT by `trtexec`, and how far its features are from the model's.

python examples/tensorrt_engine.py model.pt model.engine [--fp16]

The network is exported with normalisation outside: float32 (B, 3, height, width), any batch up to --most. An engine is
of the GPU and of the version of TensorRT that it was made with. Needs the extra `export`, and trtexec on the PATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import dsa_reid

INPUT, OUTPUT = "images", "features"
IMAGES = 4  # that the engine is checked on
ENOUGH = {False: 1e-3, True: 5e-2}  # greatest difference of a value: float32 (with TF32), and float16


def build(onnx: Path, engine: Path, size: tuple[int, int], most: int, fp16: bool) -> list[str]:
    """Return the command that makes an engine of an ONNX file.

    Args:
        size: height and width of the images.
        most: images of a batch, at most; the engine is fastest at half of them.
    """
    height, width = size
    shapes = [
        f"--{name}Shapes={INPUT}:{count}x3x{height}x{width}"
        for name, count in (("min", 1), ("opt", max(1, most // 2)), ("max", most))
    ]
    precision = ["--fp16"] if fp16 else []
    return ["trtexec", f"--onnx={onnx}", f"--saveEngine={engine}", *shapes, *precision, "--skipInference"]


def run(engine: Path, images: Path, shape: Sequence[int], out: Path) -> list[str]:
    """Return the command that maps the numbers in a file, float32, to features in a JSON file."""
    dimensions = "x".join(map(str, shape))
    return [
        "trtexec",
        f"--loadEngine={engine}",
        f"--shapes={INPUT}:{dimensions}",
        f"--loadInputs={INPUT}:{images}",
        f"--exportOutput={out}",
        "--iterations=1",
        "--warmUp=0",
        "--duration=0",
    ]


def read(path: Path) -> np.ndarray:
    """Return the features (B, D) in a JSON file that trtexec wrote."""
    (found,) = (one for one in json.loads(path.read_text(encoding="utf-8")) if one["name"] == OUTPUT)
    shape = [int(side) for side in found["dimensions"].split("x")]
    return np.array(found["values"], np.float32).reshape(shape)


def difference(model: dsa_reid.Model, engine: Path, folder: Path) -> float:
    """Return the greatest difference of a value between an engine's features and the model's, on random images."""
    height, width = model.preprocessing.height, model.preprocessing.width
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (IMAGES, height, width, 3), dtype=torch.uint8, generator=generator)
    normalised = model.preprocessing.normalise(images).numpy()
    (folder / "images.bin").write_bytes(np.ascontiguousarray(normalised).tobytes())
    command = run(engine, folder / "images.bin", normalised.shape, folder / "features.json")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return float(np.abs(read(folder / "features.json") - model.embed(list(images.numpy())).numpy()).max())


def main(arguments: Sequence[str] | None = None) -> None:
    """Make an engine, check it, and print both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("engine", type=Path)
    parser.add_argument("--most", type=int, default=64, help="Images of a batch, at most. [64]")
    parser.add_argument("--fp16", action="store_true", help="Compute in float16 where that is faster.")
    given = parser.parse_args(arguments)
    if shutil.which("trtexec") is None:
        raise SystemExit("trtexec is not on the PATH. Install TensorRT, and add its bin folder to the PATH.")
    model = dsa_reid.load(given.model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx = dsa_reid.export(model, folder / "model.onnx", normalise="outside")
        size = model.preprocessing.height, model.preprocessing.width
        command = build(onnx, given.engine, size, max(given.most, IMAGES), given.fp16)
        print(" ".join(command))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        found = difference(model, given.engine, folder)
    print(f"{given.engine}: a value differs by at most {found:.1e} from the model's")
    if not found <= ENOUGH[given.fp16]:
        raise SystemExit(f"More than {ENOUGH[given.fp16]:g}: do not use this engine.")


if __name__ == "__main__":
    main()
