"""A network measured on query and gallery: features, and distances a few queries at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from dsa_data.records import Record
from dsa_data.stores.dsap import DsapStore
from dsa_reid.main_stream import MainStream
from dsa_reid.preprocessing import Preprocessing

from ..batches.dataset import Images
from ..network.two_stream import TwoStream
from . import metrics
from .camera_pairs import CameraPairs
from .config import EvaluateConfig
from .distmat import Block, Rows, blocks
from .expansion import expanded
from .features import extract
from .multiquery import pooled
from .rerank import reranked
from .single_shot import draw_orders, find_drawn_matches, measure_drawn
from .views import Bin, ViewBins

Extract = Callable[[Images, str], Rows]  # pictures and what they are, to their features


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Query and gallery pictures of a dataset, and those that ask beside the query in multi-query."""

    query: Images
    gallery: Images
    multiquery: Images | None = None


@dataclasses.dataclass(frozen=True)
class Side:
    """Pictures with what is compared of them.

    Args:
        features: (N, D).
        records: N.
        camids: (N,), by the rule that the evaluation goes by.
    """

    features: Rows
    records: Sequence[Record]
    camids: np.ndarray

    @property
    def pids(self) -> np.ndarray:
        """Identities (N,)."""
        return np.array([record.pid for record in self.records])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What came of comparing query and gallery.

    Args:
        chance: the mAP of random rankings of the same pictures.
        pairs: the measures by (query camera, gallery camera); empty where nobody asked.
        views: the measures by view difference, from and to in degrees; empty where no views were given.
    """

    result: metrics.Result
    chance: float
    pairs: dict[tuple[int, int], metrics.Result]
    views: dict[Bin, metrics.Result]


def read_retrieval(
    root: Path,
    records: Sequence[Record],
    preprocessing: Preprocessing,
    store: DsapStore | None = None,
    multiquery: Sequence[Record] = (),
) -> Retrieval:
    """Return the query and gallery among `records`, with their DSAP if a store is given."""
    query, gallery = (
        Images(root, [record for record in records if record.split == split], preprocessing, store)
        for split in ("query", "gallery")
    )
    return Retrieval(query, gallery, Images(root, multiquery, preprocessing, store) if multiquery else None)


def measure(
    network: MainStream | TwoStream, retrieval: Retrieval, config: EvaluateConfig, workers: int = 1
) -> tuple[metrics.Result, float]:
    """Measure a network on query and gallery.

    Returns:
        The result, and the mAP of random rankings of the same pictures.
    """

    def features(pictures: Images, what: str) -> np.ndarray:
        return extract(network, pictures, config.match, config.batch, workers, what, config.flip).numpy()

    device = next(network.parameters()).device
    found = compare(*sides(retrieval, config, features), config, device)
    return found.result, found.chance


def sides(retrieval: Retrieval, config: EvaluateConfig, features: Extract) -> tuple[Side, Side]:
    """Return query and gallery with their features, multi-queries pooled."""
    query, gallery = (
        Side(features(pictures, what), pictures.records, camera_numbers(pictures.records, config))
        for pictures, what in ((retrieval.query, "query"), (retrieval.gallery, "gallery"))
    )
    if config.multiquery == "off" or retrieval.multiquery is None:
        return query, gallery
    more = retrieval.multiquery.records
    together = pooled(
        query.features[0 : len(query.records)],
        query.pids,
        np.array([record.camid for record in query.records]),
        features(retrieval.multiquery, "multiquery")[0 : len(more)],
        np.array([record.pid for record in more]),
        np.array([record.camid for record in more]),
        config.multiquery,
    )
    return dataclasses.replace(query, features=together), gallery


def camera_numbers(records: Sequence[Record], config: EvaluateConfig) -> np.ndarray:
    """Return int64 (N,): of pictures with one number, those of the query's person are left out of its ranking.

    By the rule that is the camera; where cameras are ignored, only copies of one file share a number.
    """
    if config.cameras == "ignore":
        return np.array([int(record.digest[:15], 16) for record in records])
    return np.array([record.camid for record in records])


def compare(
    query: Side,
    gallery: Side,
    config: EvaluateConfig,
    device: torch.device,
    between_cameras: bool = False,
    views: tuple[np.ndarray, np.ndarray] | None = None,
) -> Comparison:
    """Rank the gallery for every query and measure what comes out.

    Args:
        views: degrees (Q,) and (G,), to measure by view difference too.

    Raises TrainingError if features do not fit or are not numbers, or nothing can be measured.
    """
    q_pids, g_pids = query.pids, gallery.pids
    single = config.gallery == "single-shot"
    orders = draw_orders(len(g_pids), config.repeats, config.seed) if single else None
    parts, pairs, bins = [], CameraPairs(), ViewBins()
    for some, distmat in ranked(query.features, gallery.features, config, device):
        whose = (q_pids[some], g_pids, query.camids[some], gallery.camids)
        if orders is None:
            parts.append(metrics.find_matches(distmat, *whose))
        else:
            parts.append(find_drawn_matches(distmat, *whose, orders))
        if between_cameras:
            pairs.add(distmat, q_pids[some], g_pids, *_cameras(query.records[some], gallery.records))
        if views is not None:
            bins.add(distmat, *whose, views[0][some], views[1])
        del distmat  # or the next block would be made beside it
    matches = metrics.joined(parts)
    if single:
        result = measure_drawn(matches, config.repeats, trapezoid=config.trapezoid)
    else:
        result = metrics.measure(matches, trapezoid=config.trapezoid)
    chance = metrics.chance(matches, trapezoid=config.trapezoid)
    return Comparison(result, chance, pairs.results(config.trapezoid), bins.results(config.trapezoid))


def ranked(query: Rows, gallery: Rows, config: EvaluateConfig, device: torch.device) -> Iterator[Block]:
    """Yield the distances that the gallery is ranked by, some queries at a time, expanded and re-ranked if asked."""
    if config.expansion.neighbours:
        query = expanded(query[0 : query.shape[0]], gallery, config.expansion, device, config.memory)
    if config.rerank.on:
        return reranked(query, gallery, config.rerank, config.distance, device, config.memory)
    return blocks(query, gallery, config.distance, device, config.memory)


def _cameras(query: Sequence[Record], gallery: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([record.camid for record in query]), np.array([record.camid for record in gallery])
