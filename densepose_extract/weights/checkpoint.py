"""Checkpoints: obtained by name or path, read without running code in them, matched with the network by entry.

The named ones are detectron2's public DensePose models, trained by Facebook AI Research (models CC BY-SA
3.0, code Apache-2.0).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from dsa_app.config import suggestion
from dsa_app.errors import CheckpointError

from ..network import DensePoseRCNN, build
from .download import digest, download
from .pickled import read_arrays

BASE = "https://dl.fbaipublicfiles.com/densepose"
PUBLISHED = {  # name -> address below BASE. Their SHA-256 are not published: pin yours in params.yaml
    "R_50_FPN_s1x": "densepose_rcnn_R_50_FPN_s1x/165712039/model_final_162be9.pkl",
    "R_101_FPN_s1x": "densepose_rcnn_R_101_FPN_s1x/165712084/model_final_c6ab63.pkl",
    "R_50_FPN_DL_s1x": "densepose_rcnn_R_50_FPN_DL_s1x/165712097/model_final_0ed407.pkl",
    "R_101_FPN_DL_s1x": "densepose_rcnn_R_101_FPN_DL_s1x/165712116/model_final_844d15.pkl",
    "R_50_FPN_WC1_s1x": "densepose_rcnn_R_50_FPN_WC1_s1x/173862049/model_final_289019.pkl",
    "R_101_FPN_WC1_s1x": "densepose_rcnn_R_101_FPN_WC1_s1x/171402969/model_final_9e47f0.pkl",
    "R_50_FPN_DL_WC1_s1x": "densepose_rcnn_R_50_FPN_DL_WC1_s1x/173067973/model_final_b1e525.pkl",
    "R_101_FPN_DL_WC1_s1x": "densepose_rcnn_R_101_FPN_DL_WC1_s1x/173858525/model_final_f359f3.pkl",
    "R_50_FPN_WC2_s1x": "densepose_rcnn_R_50_FPN_WC2_s1x/173861455/model_final_3abe14.pkl",
    "R_101_FPN_WC2_s1x": "densepose_rcnn_R_101_FPN_WC2_s1x/173860702/model_final_5ea023.pkl",
    "R_50_FPN_DL_WC2_s1x": "densepose_rcnn_R_50_FPN_DL_WC2_s1x/173859335/model_final_60fed4.pkl",
    "R_101_FPN_DL_WC2_s1x": "densepose_rcnn_R_101_FPN_DL_WC2_s1x/173294801/model_final_6e1ed1.pkl",
    "R_50_FPN_WC1M_s1x": "densepose_rcnn_R_50_FPN_WC1M_s1x/217144516/model_final_48a9d9.pkl",
    "R_101_FPN_WC1M_s1x": "densepose_rcnn_R_101_FPN_WC1M_s1x/216453687/model_final_0a7287.pkl",
    "R_50_FPN_DL_WC1M_s1x": "densepose_rcnn_R_50_FPN_DL_WC1M_s1x/216245703/model_final_61971e.pkl",
    "R_101_FPN_DL_WC1M_s1x": "densepose_rcnn_R_101_FPN_DL_WC1M_s1x/216245771/model_final_0ebeb3.pkl",
    "R_50_FPN_WC2M_s1x": "densepose_rcnn_R_50_FPN_WC2M_s1x/216245640/model_final_d79ada.pkl",
    "R_101_FPN_WC2M_s1x": "densepose_rcnn_R_101_FPN_WC2M_s1x/216245682/model_final_e354d9.pkl",
    "R_50_FPN_DL_WC2M_s1x": "densepose_rcnn_R_50_FPN_DL_WC2M_s1x/216245758/model_final_7bfb43.pkl",
    "R_101_FPN_DL_WC2M_s1x": "densepose_rcnn_R_101_FPN_DL_WC2M_s1x/216245790/model_final_de6e7a.pkl",
    "CSE_R_101_FPN_DL_s1x": "cse/densepose_rcnn_R_101_FPN_DL_s1x/251156606/model_final_b236ce.pkl",
    "CSE_R_101_FPN_DL_soft_s1x": "cse/densepose_rcnn_R_101_FPN_DL_soft_s1x/250713061/model_final_1d3314.pkl",
    "CSE_R_101_FPN_s1x": "cse/densepose_rcnn_R_101_FPN_s1x/251155500/model_final_5c995f.pkl",
    "CSE_R_101_FPN_soft_s1x": "cse/densepose_rcnn_R_101_FPN_soft_s1x/250712522/model_final_4637da.pkl",
    "CSE_R_50_FPN_DL_s1x": "cse/densepose_rcnn_R_50_FPN_DL_s1x/251156349/model_final_e96218.pkl",
    "CSE_R_50_FPN_DL_soft_s1x": "cse/densepose_rcnn_R_50_FPN_DL_soft_s1x/250713703/model_final_9199f5.pkl",
    "CSE_R_50_FPN_s1x": "cse/densepose_rcnn_R_50_FPN_s1x/251155172/model_final_c4ea5f.pkl",
    "CSE_R_50_FPN_soft_s1x": "cse/densepose_rcnn_R_50_FPN_soft_s1x/250533982/model_final_2c4512.pkl",
}
NOT_WEIGHTS = ("pixel_", "proposal_generator.anchor_generator.")  # constants that old files hold
NAMED = 3  # entries of a kind that an error names; the rest are counted


@dataclass(frozen=True)
class Weights:
    """A checkpoint in memory.

    Attributes:
        model: its name in `network.MODELS`.
        digest: SHA-256 of the file.
        entries: arrays by their names in the state dict.
        source: path of the file, for messages.
    """

    model: str
    digest: str
    entries: dict[str, np.ndarray]
    source: str

    def network(self) -> DensePoseRCNN:
        """Return the model with these weights. Raises CheckpointError if they do not fit."""
        network = build(self.model)
        fill(network, self.entries, self.source, self.model)
        return network


def obtain(
    checkpoint: str | Path, cache: Path | None = None, base: str | None = None, sha256: str | None = None
) -> Path:
    """Return the file of a checkpoint: a path unchanged, a name as its file in the cache, downloaded on first use.

    Args:
        checkpoint: a name of `PUBLISHED`, or a path.
        cache: folder of downloads; by default $DSA_CACHE, or ~/.cache/dsa-reid.
        base: address above `PUBLISHED`'s; by default $DSA_CHECKPOINTS_URL (a mirror), or `BASE`.
        sha256: digest that the file must have.

    Raises CheckpointError for an unknown name, a failed download, or a digest other than `sha256`.
    """
    name = str(checkpoint)
    if name not in PUBLISHED:
        path = Path(checkpoint).expanduser()
        if not path.is_file():
            raise CheckpointError(f"Checkpoint {name} is neither a file nor a known name.{suggestion(name, PUBLISHED)}")
        if sha256 is not None:
            compare(path, sha256)
        return path
    cache = cache or Path(os.environ.get("DSA_CACHE", Path.home() / ".cache" / "dsa-reid"))
    base = base or os.environ.get("DSA_CHECKPOINTS_URL", BASE)
    address = PUBLISHED[name]
    path = cache.expanduser() / "densepose" / address
    if not path.is_file():
        download(f"{base.rstrip('/')}/{address}", path, sha256)
    elif sha256 is not None:
        compare(path, sha256)
    return path


def compare(path: Path, sha256: str) -> None:
    """Raise CheckpointError unless `path` has the digest `sha256`."""
    actual = digest(path)
    if actual != sha256.lower():
        raise CheckpointError(
            f"{path} has SHA-256 {actual}, expected {sha256}. "
            "Delete it to download it again, or correct the pinned digest if you trust the file."
        )


def load(path: Path) -> Weights:
    """Read a checkpoint without running any code in it. Raises CheckpointError (see `pickled.read_arrays`)."""
    entries = {name: value for name, value in read_arrays(path).items() if not name.startswith(NOT_WEIGHTS)}
    return Weights(model_of(entries), digest(path), entries, str(path))


def model_of(entries: Mapping[str, np.ndarray]) -> str:
    """Return the name of the model that a checkpoint is of, by the names of its entries."""
    deep = any(name.startswith("backbone.bottom_up.res4.6.") for name in entries)
    deeplab = any(name.startswith("roi_heads.densepose_head.ASPP.") for name in entries)
    predictor = "roi_heads.densepose_predictor."
    embedding = "CSE_" if f"{predictor}embed_lowres.weight" in entries else ""
    confidence = ""
    if f"{predictor}sigma_2_lowres.weight" in entries:
        confidence = "WC2" if f"{predictor}kappa_u_lowres.weight" in entries else "WC1"
        confidence += "M_" if f"{predictor}fine_segm_confidence_lowres.weight" in entries else "_"
    return f"{embedding}R_{101 if deep else 50}_FPN_{'DL_' if deeplab else ''}{confidence}s1x"


def fill(network: torch.nn.Module, entries: Mapping[str, np.ndarray], source: str, model: str = "the model") -> None:
    """Load `entries` into `network`: exactly its entries, each with its shape.

    Raises CheckpointError that names entries which are missing, unknown, of another shape or not floating point.
    """
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    missing = [f"{name} is missing" for name in sorted(expected.keys() - entries.keys())]
    unknown = [f"{name} is not known to the model" for name in sorted(entries.keys() - expected.keys())]
    wrong = []
    for name in sorted(expected.keys() & entries.keys()):
        value = entries[name]
        if value.shape != expected[name]:
            wrong.append(f"{name} has shape {value.shape}, expected {expected[name]}")
        elif value.dtype.kind != "f":
            wrong.append(f"{name} is {value.dtype}, expected floating point")
    problems = [*_first(missing), *_first(unknown), *_first(wrong)]
    if problems:
        raise CheckpointError(
            f"{source} does not fit {model}: {'; '.join(problems)}. "
            "Use a DensePose s1x checkpoint (R_50 or R_101, with or without DL, WC1, WC2, WC1M or WC2M; of CSE those "
            "for people)."
        )
    network.load_state_dict({name: torch.from_numpy(v.astype(np.float32)) for name, v in entries.items()})


def _first(problems: list[str]) -> list[str]:
    more = [f"and {len(problems) - NAMED} more like it"] if len(problems) > NAMED else []
    return problems[:NAMED] + more
