"""How far exported networks and other resizes are from `embed`, on images at their own sizes.

    python benchmarks/resize.py DIR --model model.pt

For the images in DIR, it prints for each runtime the greatest difference of a value between its features and those of
`embed`, and for common resizes the Euclidean distance to the feature of `embed` and how often the nearest other image
stays the same. Compare with the distance of two images. Results go to benchmarks/results/resize.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from PIL import Image

import dsa_reid
from dsa_data import images

Resize = Callable[[np.ndarray, tuple[int, int]], np.ndarray]

RESIZES: dict[str, Resize] = {  # of uint8 (H, W, 3) to (width, height)
    "cv2.resize, INTER_LINEAR (its default)": cv2.resize,
    "cv2.resize, INTER_AREA": lambda image, size: cv2.resize(image, size, interpolation=cv2.INTER_AREA),
    "cv2.resize, INTER_CUBIC": lambda image, size: cv2.resize(image, size, interpolation=cv2.INTER_CUBIC),
    "PIL, BILINEAR": lambda image, size: np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)),
    "PIL, BICUBIC": lambda image, size: np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--count", type=int, default=500, help="images, spread evenly over the folder")
    parser.add_argument(
        "--size", type=int, nargs=2, metavar=("HEIGHT", "WIDTH"), help="bring the images to this size first"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "resize.json")
    args = parser.parse_args()
    files = sorted(path for path in args.folder.rglob("*") if images.is_image(path))
    crops = [images.read(file) for file in files[:: max(1, len(files) // args.count)][: args.count]]
    if args.size:
        crops = [cv2.resize(crop, tuple(args.size[::-1]), interpolation=cv2.INTER_CUBIC) for crop in crops]
    model = dsa_reid.load(args.model)
    features = model.embed(crops)
    others = dsa_reid.distances(features, features).fill_diagonal_(float("inf"))
    result = {
        "images": len(crops),
        "size": [model.preprocessing.height, model.preprocessing.width],
        "median_distance": others[others.isfinite()].median().item(),
        "runtimes": dict(runtimes(model, crops, features)),
        "resizes": {name: cost(model, crops, features, resize) for name, resize in RESIZES.items()},
    }
    args.out.parent.mkdir(exist_ok=True)
    args.out.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def runtimes(model: dsa_reid.Model, crops: list[np.ndarray], features: torch.Tensor) -> Iterator[tuple[str, float]]:
    """Yield each runtime with the greatest difference of its features from those of `embed`."""
    with TemporaryDirectory() as folder:
        for ending in ("onnx", "pt2"):
            path = dsa_reid.export(model, Path(folder) / f"model.{ending}")
            yield ending, difference(dsa_reid.load_exported(path).run, crops, features)
        try:
            import openvino
        except ImportError:
            print("openvino is not installed: left out", file=sys.stderr)
            return
        for precision in ("f32", "bf16"):
            network = openvino.Core().compile_model(
                str(Path(folder) / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": precision}
            )
            yield f"openvino {precision}", difference(lambda x, network=network: network(x)[0], crops, features)


def difference(run: Callable[[np.ndarray], np.ndarray], crops: list[np.ndarray], features: torch.Tensor) -> float:
    """Return the greatest difference of a value, with each crop fed at its own size."""
    return max(float(np.abs(run(crop[None]) - row.numpy()).max()) for crop, row in zip(crops, features, strict=True))


def cost(model: dsa_reid.Model, crops: list[np.ndarray], features: torch.Tensor, resize: Resize) -> dict[str, float]:
    """Return how far features move, and how often the nearest stays, if images are resized in another way."""
    size = model.preprocessing.width, model.preprocessing.height
    moved = model.embed([resize(crop, size) for crop in crops])
    lengths = (moved - features).norm(dim=1)
    before, after = (
        dsa_reid.distances(query, features).fill_diagonal_(float("inf")).argmin(1) for query in (features, moved)
    )
    return {
        "median": lengths.median().item(),
        "greatest": lengths.max().item(),
        "nearest_kept": (before == after).float().mean().item(),
    }


if __name__ == "__main__":
    main()
