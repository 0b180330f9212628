"""Features as torchreid users keep them, ranked by `dsa_reid`, and written for FAISS.

torchreid's FeatureExtractor and engines give a matrix of features with lists of pids and camids; people save them by
torch.save or numpy.savez under such names. Both are read here, without running code that may be in the file.
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
    found = []
    for what, names in NAMES.items():
        name = next((name for name in names if name in content), None)
        if name is None:
            raise SystemExit(f"{path} holds {', '.join(content)}; {what} were looked for as {', '.join(names)}.")
        found.append(np.asarray(content[name]))
    features, pids, camids = found
    features = features.astype(np.float32)
    return Saved(features / np.linalg.norm(features, axis=1, keepdims=True), pids, camids)


def rank1(query: Saved, gallery: Saved) -> float:
    """Return the share of queries whose nearest picture from another camera shows the same person.

    As in torchreid, pictures of the query's person by its own camera do not count, nor queries without any other.
    """
    ranking = dsa_reid.search(query.features, gallery.features, top=len(gallery.pids))
    right = []
    for n, places in enumerate(ranking.places):
        same = gallery.pids[places] == query.pids[n]
        counted = ~same | (gallery.camids[places] != query.camids[n])
        if (same & counted).any():
            right.append(same[counted][0])
    return float(np.mean(right)) if right else 0.0


def write_index(gallery: Saved, path: Path) -> None:
    """Write a FAISS index that any program with FAISS reads; row n is picture n."""
    import faiss

    faiss.write_index(dsa_reid.build_index(gallery.features, "flat"), str(path))


if __name__ == "__main__":
    query, gallery = (read(Path(name)) for name in sys.argv[1:3])
    print(f"Rank-1 {rank1(query, gallery):.1%}")
    write_index(gallery, Path(sys.argv[2]).with_suffix(".faiss"))
