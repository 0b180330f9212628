"""Rank-1 and mAP of one model in several runtimes and preprocessings, on one dataset.

python examples/deployed_accuracy.py model.pt --dataset market1501

Query and gallery of the dataset's manifest go through each of them; the identities, cameras and measures are those of
`dsa-train evaluate`. The int8 file is quantised with training images. Needs the extras `pipeline` and `export`; with
openvino, that is measured too.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import boxmot_reid
import numpy as np
import onnxruntime
import quantise

import dsa_reid
from dsa_app.console import artifacts
from dsa_data import images
from dsa_data.records import Record, read_manifest
from dsa_data.sets import dataset_root
from dsa_reid.reading import batches
from dsa_train.evaluation.metrics import evaluate

BATCH = 32
Features = Callable[[Sequence[Path]], np.ndarray]  # from images to features (N, D)


def session(path: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return an ONNX file as a function of one batch."""
    opened = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda batch: opened.run(["features"], {"images": batch})[0]  # type: ignore[no-any-return]


def openvino(path: Path, precision: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return an ONNX file as a function of one batch, computed by OpenVINO in "f32" or "bf16"."""
    import openvino as ov

    compiled = ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return lambda batch: np.asarray(compiled(batch)[0])


def in_batches(
    run: Callable[[np.ndarray], np.ndarray], made: Callable[[Sequence[Path]], Iterator[np.ndarray]]
) -> Features:
    """Return features of images: their batches made in one way, and run in one way."""
    return lambda paths: np.concatenate([run(batch) for batch in made(paths)])


def ways(model: Path, folder: Path, training: Sequence[Path]) -> dict[str, Features]:
    """Return what maps images to features, by a title.

    Args:
        folder: for the exported files.
        training: images that int8 is calibrated on.
    """
    network = dsa_reid.load(model)
    size = network.preprocessing.height, network.preprocessing.width

    def resized(paths: Sequence[Path]) -> Iterator[np.ndarray]:
        yield from (batch.numpy() for batch in batches(paths, network.preprocessing, BATCH))

    def as_boxmot(paths: Sequence[Path]) -> Iterator[np.ndarray]:
        for start in range(0, len(paths), BATCH):
            crops = [images.read(path)[..., ::-1] for path in paths[start : start + BATCH]]  # RGB to BGR
            yield boxmot_reid.prepared(crops, *size)

    plain = dsa_reid.export(network, folder / "plain.onnx", normalise="inside", resize="outside")
    for_boxmot = boxmot_reid.export(model, folder / "resnet50_dsa.onnx")
    quantised = quantise.quantise(model, training, folder / "int8.onnx")
    made: dict[str, Features] = {
        "embed": lambda paths: network.embed(list(paths), BATCH).numpy(),
        "ONNX Runtime": in_batches(session(plain), resized),
        "ONNX Runtime, int8": in_batches(session(quantised), resized),
        "ONNX Runtime, resized as BoxMOT does": in_batches(session(for_boxmot), as_boxmot),
    }
    if importlib.util.find_spec("openvino"):
        made["OpenVINO, float32"] = in_batches(openvino(plain, "f32"), resized)
        made["OpenVINO, bfloat16"] = in_batches(openvino(plain, "bf16"), resized)
    return made


def measured(features: Features, root: Path, records: dict[str, list[Record]]) -> dict[str, Any]:
    """Return Rank-1 and mAP, fractions, of features of query and gallery."""
    rows = {split: features([root / one.key for one in own]) for split, own in records.items()}
    distmat = dsa_reid.distances(rows["query"], rows["gallery"]).numpy()
    labels = [np.array([getattr(one, name) for one in records[split]]) for name in ("pid", "camid") for split in rows]
    found = evaluate(distmat, *labels)
    return {"rank1": found.rank(1), "mAP": found.mAP}


def table(model: Path, root: Path, manifest: Path) -> list[dict[str, Any]]:
    """Return a row for each way to deploy a model, with the loss of mAP beside `embed`."""
    records = {split: read_manifest(manifest, [split]) for split in ("query", "gallery")}
    training = [root / one.key for one in read_manifest(manifest, ["train"])]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for title, features in ways(model, Path(folder), training).items():
            found = measured(features, root, records)
            rows.append({"way": title, **found, "loss": (rows[0]["mAP"] if rows else found["mAP"]) - found["mAP"]})
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = table(given.model, dataset_root(given.dataset), artifacts(given.dataset) / "manifest.csv")
    if given.json:
        print(json.dumps(rows))
        return
    print(f"{'':38}{'Rank-1':>8}{'mAP':>8}{'loss of mAP, points':>22}")
    for row in rows:
        print(
            f"{row['way']:38}{100 * row['rank1']:8.1f}{100 * row['mAP']:8.2f}{round(100 * row['loss'], 2) + 0.0:22.2f}"
        )


if __name__ == "__main__":
    main()
