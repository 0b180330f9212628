"""Retrieval: the features of query and gallery, their distances a block of queries at a time, and the measures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from dsa_app.errors import TrainingError
from dsa_data.records import Record
from dsa_data.stores.dsap import DsapStore
from dsa_reid.main_stream import MainStream
from dsa_reid.model import VISIBILITY
from dsa_reid.preprocessing import Preprocessing

from ..batches.config import GuidanceConfig
from ..batches.dataset import Images
from ..network.two_stream import TwoStream
from . import metrics
from .camera_pairs import CameraPairs
from .config import EvaluateConfig
from .distmat import Block, Rows, blocks, stored_blocks
from .expansion import expanded
from .features import extract, lengths
from .matches import Clothes, Labels, Matches, find_matches, joined
from .metrics import NO_MATCH
from .multiquery import pooled
from .rerank import reranked
from .single_shot import find_sampled_matches, measure_sampled, sample_orders
from .tracklets import joins_frames, pooled_tracklets
from .views import Bin, ViewBins

Extract = Callable[[Images, str], Rows]  # from images and what they are ("query") to their features


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """Query and gallery images of a dataset, and the further images of the queries for multi-query."""

    query: Images
    gallery: Images
    multiquery: Images | None = None


@dataclasses.dataclass(frozen=True)
class Side:
    """N images, query or gallery, with the features that are compared.

    Args:
        features: (N, D).
        records: N.
        camids: (N,), see `camera_numbers`.
        parts: of a feature, by their lengths in order; only for distances that compare them one by one.
        distances: of queries to the gallery, (Q, G), where these are given in place of features.
    """

    features: Rows
    records: Sequence[Record]
    camids: np.ndarray
    parts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    distances: Rows | None = None

    @property
    def pids(self) -> np.ndarray:
        """Identities (N,)."""
        return np.array([record.pid for record in self.records])


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The measures of a retrieval.

    Args:
        chance: the mAP of random rankings of the same images.
        pairs: the measures by (query camera, gallery camera); empty unless asked for.
        views: the measures by view difference, from and to in degrees; empty unless views are given.
        matches: the ranks that they are computed from.
    """

    result: metrics.Result
    chance: float
    pairs: dict[tuple[int, int], metrics.Result]
    views: dict[Bin, metrics.Result]
    matches: Matches


def read_retrieval(
    root: Path,
    records: Sequence[Record],
    preprocessing: Preprocessing,
    store: DsapStore | None = None,
    multiquery: Sequence[Record] = (),
    labels: bool = False,
    guidance: GuidanceConfig | None = None,
) -> Retrieval:
    """Return the query and gallery among `records`, with their DSAP if a store is given.

    Args:
        labels: with the labels of their regions, and without their part images.
        guidance: of the training, which decides what the confidence of texels does; None to ignore it.
    """

    def images(own: Sequence[Record]) -> Images:
        return Images(root, own, preprocessing, store, not labels, range(len(own)) if labels else None, guidance)

    query, gallery = (images([record for record in records if record.split == split]) for split in ("query", "gallery"))
    return Retrieval(query, gallery, images(multiquery) if multiquery else None)


def check_matches(retrieval: Retrieval, config: EvaluateConfig) -> None:
    """Raise TrainingError if no query has an image of its person in the gallery that counts, before any feature."""
    query, gallery = retrieval.query.records, retrieval.gallery.records
    pids = (np.array([record.pid for record in records]) for records in (query, gallery))
    cameras = (camera_numbers(records, config) for records in (query, gallery))
    labels = Labels(*pids, *cameras, clothes=clothes_of(query, gallery, config))
    if not any(not labels.left_out(row, same).all() for row, same in enumerate(labels.same_pid())):
        raise TrainingError(NO_MATCH)


def measure(
    network: MainStream | TwoStream, retrieval: Retrieval, config: EvaluateConfig, workers: int = 1
) -> tuple[metrics.Result, float]:
    """Return the measures of a network on query and gallery, and the mAP of random rankings of the same images."""

    def features(images: Images, what: str) -> np.ndarray:
        return extract(
            network, images, config.match, config.batch, workers, what, config.flip, config.needs_visibility
        ).numpy()

    device = next(network.parameters()).device
    parts = lengths(network, config.match, config.needs_visibility)
    comparison = compare(*sides(retrieval, config, features, parts), config, device)
    return comparison.result, comparison.chance


def sides(
    retrieval: Retrieval, config: EvaluateConfig, features: Extract, parts: Mapping[str, int] | None = None
) -> tuple[Side, Side]:
    """Return query and gallery with their features, multi-queries pooled.

    Args:
        parts: of a feature, by their lengths in order.
    """
    query, gallery = (
        by_tracklet(
            Side(features(images, what), images.records, camera_numbers(images.records, config), parts or {}), config
        )
        for images, what in ((retrieval.query, "query"), (retrieval.gallery, "gallery"))
    )
    if config.multiquery == "off" or retrieval.multiquery is None:
        return query, gallery
    more = retrieval.multiquery.records
    together = pooled(
        query.features[0 : len(query.records)],
        [(record.pid, record.camid) for record in query.records],
        features(retrieval.multiquery, "multiquery")[0 : len(more)],
        [(record.pid, record.camid) for record in more],
        config.multiquery,
    )
    return dataclasses.replace(query, features=together), gallery


def by_tracklet(side: Side, config: EvaluateConfig, any_length: bool = False) -> Side:
    """Return a side with a row a tracklet, where its images are frames of tracklets and these are compared.

    Args:
        any_length: of other programs' features, see `pooled_tracklets`.
    """
    if not joins_frames(side.records, config.tracklets):
        if config.tracklets in ("best", "visible"):
            raise TrainingError(f"evaluate.tracklets={config.tracklets} needs tracklets, and this dataset has none.")
        return side
    how = config.tracklets if config.tracklets == "best" or config.tracklets == "visible" else "mean"
    rows, features = pooled_tracklets(side.features, side.records, side.parts, how, any_length)
    if config.distance != "visible":
        features = features[:, : sum(width for part, width in side.parts.items() if part != VISIBILITY)]
    return dataclasses.replace(
        side, features=features, records=[side.records[row] for row in rows], camids=side.camids[rows]
    )


def camera_numbers(records: Sequence[Record], config: EvaluateConfig) -> np.ndarray:
    """Return int64 (N,): gallery images of the query's person with the query's number are left out of its ranking.

    The number is the camera's. Where cameras are ignored it is the file's, so that only copies of the query are left
    out.
    """
    if config.cameras == "ignore":
        return np.array([int(record.digest[:15], 16) for record in records])
    return np.array([record.camid for record in records])


def labels_of(query: Side, gallery: Side, config: EvaluateConfig) -> Labels:
    """Return the identities and cameras of query and gallery, and their clothes for a clothes protocol.

    Raises TrainingError if it is a clothes protocol and their clothes are unknown.
    """
    clothes = clothes_of(query.records, gallery.records, config)
    return Labels(query.pids, gallery.pids, query.camids, gallery.camids, clothes=clothes)


def clothes_of(query: Sequence[Record], gallery: Sequence[Record], config: EvaluateConfig) -> Clothes | None:
    """Return the clothes of query and gallery for a clothes protocol, else None. Raises TrainingError if unknown."""
    if config.clothes == "any":
        return None
    if not any(record.clothes for record in query):
        raise TrainingError(
            f"evaluate.clothes={config.clothes} needs to know who wears what, and no query has clothes. Name a dataset "
            "with clothes (ltcc, prcc), or list the images again: dsa-data prepare."
        )
    q_clothes, g_clothes = (np.array([record.clothes for record in records]) for records in (query, gallery))
    return Clothes(q_clothes, g_clothes, config.clothes == "changed")


def compare(
    query: Side,
    gallery: Side,
    config: EvaluateConfig,
    device: torch.device,
    between_cameras: bool = False,
    views: tuple[np.ndarray, np.ndarray] | None = None,
) -> Comparison:
    """Rank the gallery for every query and return the measures.

    Args:
        between_cameras: measure between every two cameras too.
        views: degrees (Q,) and (G,), to measure by view difference too.

    Raises TrainingError if features do not fit or are not numbers, or no query has a match.
    """
    labels = labels_of(query, gallery, config)
    camids = [np.array([record.camid for record in side.records]) for side in (query, gallery)]  # also where ignored
    labels_by_camera = Labels(labels.q_pids, labels.g_pids, *camids, clothes=labels.clothes)
    single = config.gallery == "single-shot"
    orders = sample_orders(len(labels.g_pids), config.repeats, config.seed) if single else None
    parts, pairs, bins = [], CameraPairs(), ViewBins()
    for queries, distmat in ranked(query, gallery, config, device):
        some = labels.select(queries)
        parts.append(find_matches(distmat, some) if orders is None else find_sampled_matches(distmat, some, orders))
        if between_cameras:
            pairs.add(distmat, labels_by_camera.select(queries))
        if views is not None:
            bins.add(distmat, some, views[0][queries], views[1])
        del distmat  # otherwise the next block is made while this one is in memory
    matches = joined(parts)
    if single:
        result = measure_sampled(matches, config.repeats, trapezoid=config.trapezoid)
    else:
        result = metrics.measure(matches, trapezoid=config.trapezoid)
    chance = metrics.chance(matches, trapezoid=config.trapezoid)
    return Comparison(result, chance, pairs.results(config.trapezoid), bins.results(config.trapezoid), matches)


def ranked(query: Side, gallery: Side, config: EvaluateConfig, device: torch.device) -> Iterator[Block]:
    """Yield the distances that the gallery is ranked by, block by block, expanded and re-ranked if configured.

    Raises TrainingError for distances that are given, and are to be re-ranked or expanded: both need features.
    """
    if query.distances is not None:
        if config.rerank.on or config.expansion.neighbours:
            raise TrainingError(
                "Re-ranking and query expansion need features, and distances were given. Give features, or set "
                "evaluate.rerank.on=false and evaluate.expansion.neighbours=0."
            )
        return stored_blocks(query.distances, config.memory)
    features = query.features
    if config.expansion.neighbours:
        features = expanded(features[0 : features.shape[0]], gallery.features, config.expansion, device, config.memory)
    if config.rerank.on:
        return reranked(features, gallery.features, config.rerank, config.distance, device, config.memory)
    visible = (query.parts, config.min_seen, config.unseen)
    return blocks(features, gallery.features, config.distance, device, config.memory, *visible)
