"""A dataset in FiftyOne: embeddings, similarity, and how each query was ranked, as fields to filter by.

python examples/fiftyone_dataset.py --dataset market1501 --model model.pt --name reid
fiftyone app launch reid

Each image of query and gallery is a sample with pid and camid, its split as a tag, and its feature as `embedding`. A
query also has the average precision of its ranking (`ap`), the path of its nearest image that counts (`nearest`), and
whether that is right (`rank1`, "right" or "wrong"). The similarity index "dsa_reid" sorts by a selected image. Needs
`pip install fiftyone`, and the extra `pipeline`.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dsa_reid
from dsa_app.console import artifacts
from dsa_data.records import Record, read_manifest
from dsa_data.sets import dataset_root
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.rankings import Ranking, rankings
from dsa_train.evaluation.retrieval import Side, camera_numbers

BRAIN_KEY = "dsa_reid"
LENGTH = 50  # images of a ranking that are looked through for the nearest that counts


def samples(root: Path, records: Sequence[Record], features: np.ndarray) -> Iterator[dict[str, Any]]:
    """Yield the fields of each image of query and gallery.

    Args:
        records: N, of the splits "query" and "gallery".
        features: (N, D).
    """
    config = EvaluateConfig(gallery="whole")
    sides = []
    for split in ("query", "gallery"):
        own = [index for index, one in enumerate(records) if one.split == split]
        side = [records[index] for index in own]
        sides.append(Side(features[own], side, camera_numbers(side, config)))
    ranked = {one.query.key: one for one in rankings(*sides, config, torch.device("cpu"), LENGTH)}
    for record, feature in zip(records, features, strict=True):
        fields = {
            "filepath": str(root / record.key),
            "pid": record.pid,
            "camid": record.camid,
            "tags": [record.split],
            "embedding": feature,
        }
        yield fields if record.split == "gallery" else fields | _evaluation(ranked[record.key], root)


def _evaluation(ranking: Ranking, root: Path) -> dict[str, Any]:
    """Return the fields of a query's ranking; without those that are not known, as FiftyOne has None for them."""
    found: dict[str, Any] = {} if math.isnan(ranking.ap) else {"ap": ranking.ap}
    nearest = next((hit for hit in ranking.hits if hit.rank == 1), None)
    if nearest is None:
        return found
    return found | {"nearest": str(root / nearest.record.key), "rank1": "right" if nearest.correct else "wrong"}


def dataset(fiftyone: Any, name: str, rows: Iterator[dict[str, Any]]) -> Any:
    """Return a FiftyOne dataset of samples, kept under a name, which replaces one of that name.

    Args:
        fiftyone: the package.
    """
    made = fiftyone.Dataset(name, persistent=True, overwrite=True)
    made.add_samples([fiftyone.Sample(**row) for row in rows])
    return made


def main() -> None:
    """Make the dataset with its similarity index."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--dataset", default="synthetic")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--name", default="reid")
    given = parser.parse_args()
    import fiftyone
    import fiftyone.brain

    root = dataset_root(given.dataset)
    records = read_manifest(artifacts(given.dataset) / "manifest.csv", ["query", "gallery"])
    features = dsa_reid.load(given.model).embed([root / one.key for one in records]).numpy()
    made = dataset(fiftyone, given.name, samples(root, records, features))
    fiftyone.brain.compute_similarity(made, embeddings="embedding", brain_key=BRAIN_KEY, metric="euclidean")
    print(f"{len(made)} images: fiftyone app launch {given.name}")


if __name__ == "__main__":
    main()
