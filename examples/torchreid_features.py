"""Features that torchreid users have saved, ranked by `dsa_reid` and written for FAISS.

torchreid's FeatureExtractor and engines return a matrix of features with lists of pids and camids, which users save by
torch.save or numpy.savez under names like those below. Both formats are read without running code in the file.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

import dsa_reid

NAMES = {
    "features": ("features", "feats", "f"),
    "pids": ("pids", "pid", "labels"),
    "camids": ("camids", "camid", "cams"),
}


class Saved(NamedTuple):
    """Features float32 (N, D), identities int (N,), cameras int (N,)."""

    features: np.ndarray
    pids: np.ndarray
    camids: np.ndarray


def read(path: Path) -> Saved:
    """Read features from .npz, or from a .pt that holds a dict of tensors and lists."""
    content = torch.load(path, weights_only=True) if path.suffix in (".pt", ".pth") else dict(np.load(path))
    arrays = []
    for kind, names in NAMES.items():
        name = next((name for name in names if name in content), None)
        if name is None:
            raise SystemExit(f"{path} has {', '.join(content)}; expected {kind} under one of {', '.join(names)}.")
        arrays.append(np.asarray(content[name]))
    features, pids, camids = arrays
    features = features.astype(np.float32)
    return Saved(features / np.linalg.norm(features, axis=1, keepdims=True), pids, camids)


def rank1(query: Saved, gallery: Saved) -> float:
    """Return the share of queries whose nearest image from another camera shows the same person.

    As in torchreid, gallery images of the query's person by the query's camera are ignored, and so are queries without
    any other image of their person.
    """
    ranking = dsa_reid.search(query.features, gallery.features, top=len(gallery.pids))
    correct = []
    for n, indices in enumerate(ranking.indices):
        same = gallery.pids[indices] == query.pids[n]
        counted = ~same | (gallery.camids[indices] != query.camids[n])
        if (same & counted).any():
            correct.append(same[counted][0])
    return float(np.mean(correct)) if correct else 0.0


def write_index(gallery: Saved, path: Path) -> None:
    """Write a FAISS index for any program that uses FAISS; row n is image n."""
    import faiss

    faiss.write_index(dsa_reid.build_index(gallery.features, "flat"), str(path))


if __name__ == "__main__":
    query, gallery = (read(Path(name)) for name in sys.argv[1:3])
    print(f"Rank-1 {rank1(query, gallery):.1%}")
    write_index(gallery, Path(sys.argv[2]).with_suffix(".faiss"))
