"""A network measured on query and gallery: features, and distances a few queries at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from data.records import Record
from data.store import DsapStore
from dsa_reid.distances import distances
from dsa_reid.main_stream import MainStream
from dsa_reid.preprocessing import Preprocessing

from . import metrics
from .config import EvaluateConfig
from .dataset import Pictures
from .features import extract
from .network import TwoStream

QUERIES = 256  # rows of the distance matrix at a time: never the whole


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Query and gallery pictures of a dataset."""

    query: Pictures
    gallery: Pictures


def read_retrieval(
    root: Path, records: Sequence[Record], preprocessing: Preprocessing, store: DsapStore | None = None
) -> Retrieval:
    """Return the query and gallery among `records`, with their DSAP if a store is given."""
    query, gallery = (
        Pictures(root, [record for record in records if record.split == split], preprocessing, store)
        for split in ("query", "gallery")
    )
    return Retrieval(query, gallery)


def measure(
    network: MainStream | TwoStream, retrieval: Retrieval, config: EvaluateConfig, workers: int = 1
) -> tuple[metrics.Result, float]:
    """Measure a network on query and gallery.

    Returns:
        The result, and the mAP of random rankings of the same pictures.
    """
    query, gallery = (
        extract(network, pictures, config.match, config.batch, workers, name)
        for pictures, name in ((retrieval.query, "Query"), (retrieval.gallery, "Gallery"))
    )
    device = next(network.parameters()).device
    matches = rank(query.to(device), gallery.to(device), retrieval, config)
    return metrics.measure(matches, trapezoid=config.trapezoid), metrics.chance(matches)


def rank(query: torch.Tensor, gallery: torch.Tensor, retrieval: Retrieval, config: EvaluateConfig) -> metrics.Matches:
    """Rank the gallery for every query: features (Q, D) and (G, D) to the ranks of the right pictures."""
    q_pids, q_camids = _identities(retrieval.query.records)
    g_pids, g_camids = _identities(retrieval.gallery.records)
    parts = []
    for start in range(0, len(query), QUERIES):
        some = slice(start, start + QUERIES)
        distmat = distances(query[some], gallery, config.distance).cpu().numpy()  # (QUERIES, G)
        parts.append(metrics.find_matches(distmat, q_pids[some], g_pids, q_camids[some], g_camids))
    return metrics.joined(parts)


def _identities(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([record.pid for record in records]), np.array([record.camid for record in records])
