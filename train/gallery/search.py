"""Queries against a file of features: the same model on both sides, exactly or by an index kept beside the features."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from dsa_app.errors import ConfigError, StoreError
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_reid.calibration import Calibration
from dsa_reid.metric import distances as pairwise_distances
from dsa_reid.metric import visible_distances
from dsa_reid.model import VISIBILITY, Model, digest_of
from dsa_reid.nearest import Ranking, search, search_index
from dsa_reid.regions import Explanation, explain
from dsa_reid.visible import search_visible_index, seen_in_both, visible_search

from .config import Engine
from .feature_files import FeatureFile
from .hits import Hit, QueryResult
from .kept_index import VisibleFile, index_file, kept_index

OTHER = "name another image: --query FILE."  # the remedy for a query that is missing or damaged
SURE = 200  # hits from which P(in the gallery) is computed
SAMPLE = 2048  # gallery rows to which a distance in a region is compared


def search_images(
    queries: Sequence[Path],
    gallery: FeatureFile,
    model: Model,
    model_path: Path,
    top: int,
    engine: Engine = "numpy",
    index: Path | None = None,
    with_regions: bool = False,
    overwrite: bool = False,
    pids: Mapping[str, int] | None = None,
    min_probability: float | None = None,
    min_seen: float = 0.0,
) -> list[QueryResult]:
    """Return the gallery's nearest images for each query image.

    Features with visibilities are compared by what both images show, see `dsa_reid.visible_search`; probabilities are
    those of such distances.

    Args:
        model: what made the gallery's features, read from `model_path`.
        top: hits a query.
        engine, index, overwrite: see `rank`.
        with_regions: explain each hit by its body regions, see `dsa_reid.explain`.
        pids: identities by the SHA-256 of the file, as `read_identities` returns; hits are correct or not by them.
        min_probability: that the person is in the gallery, below which the answer is "nobody here".
        min_seen: share of the body that a hit and its query both have to show.

    Raises:
        StoreError: for features of another model, or an index as in `rank`.
        ImageError: for a query that cannot be read.
        ModelError: if FAISS is needed and not installed, or probabilities are asked of a model that is not calibrated
            for these distances.
    """
    visible = VISIBILITY in gallery.origin.parts
    if min_probability is not None:
        model.calibrated(visible)
    check_same_model(gallery, model, model_path)
    if min_seen and not visible:
        raise ConfigError(
            "--min-seen needs to know what images show, and this gallery's features have no visibilities. Embed it "
            "with --visibility."
        )
    wanted = _Wanted(top, engine, index, with_regions, overwrite, pids or {}, min_probability, min_seen)
    return (_search_visible if visible else _search_whole)(queries, gallery, model, wanted)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """How `search_images` searches; its arguments, `pids` empty where none are known."""

    top: int
    engine: Engine
    index: Path | None
    with_regions: bool
    overwrite: bool
    pids: Mapping[str, int]
    min_probability: float | None
    min_seen: float


def _search_whole(queries: Sequence[Path], gallery: FeatureFile, model: Model, wanted: _Wanted) -> list[QueryResult]:
    """Return what `search_images` returns, by the Euclidean distance of whole features."""
    top, calibration = wanted.top, model.calibration
    features = model.embed([_read(query) for query in queries]).numpy()  # (Q, D)
    # A calibration without `present` wants more hits than are shown: further ones add little to its evidence.
    ranking = rank(
        features, gallery, max(top, SURE) if calibration else top, wanted.engine, wanted.index, wanted.overwrite
    )
    presence: list[float | None] = [None] * len(queries)
    if calibration is not None:
        usual = pairwise_distances(features, _sample(gallery)).numpy()
        presence = model.presence(ranking.distances, len(gallery), usual).tolist()
    ranking = Ranking(ranking.distances[:, :top], ranking.indices[:, :top])
    explanations = _explanations(features, ranking, gallery, wanted)
    results = []
    for query, rows, distances, explanation, present in zip(
        queries, ranking.indices, ranking.distances, explanations, presence, strict=True
    ):
        nobody = _is_nobody(present, wanted.min_probability)
        hits = [] if nobody else _hits(query, gallery, rows, distances, wanted.pids, calibration)
        results.append(QueryResult(str(query), hits, None if nobody else explanation, present, nobody))
    return results


def _read(query: Path) -> np.ndarray:
    """Return a query's image, uint8 (H, W, 3), RGB. Raises ImageError."""
    return images.decode(images.read_bytes(query, OTHER), query, OTHER)


def _search_visible(queries: Sequence[Path], gallery: FeatureFile, model: Model, wanted: _Wanted) -> list[QueryResult]:
    """Return what `search_images` returns, by what both images show."""
    parts, calibration = gallery.origin.parts, model.visible_calibration
    features = model.embed([_read(query) for query in queries], visibility=True).numpy()  # (Q, D + 8)
    ranking, proved, nearest = _rank_visible(features, gallery, wanted, with_nearest=calibration is not None)
    presence: list[float | None] = [None] * len(queries)
    if calibration is not None and nearest is not None:
        usual = visible_distances(features, _sample(gallery), parts).numpy()
        presence = calibration.presence(nearest.distances, len(gallery), usual).tolist()
    explanations = _explanations(features, ranking, gallery, wanted)
    results = []
    for row, (query, explanation, present) in enumerate(zip(queries, explanations, presence, strict=True)):
        if _is_nobody(present, wanted.min_probability):
            results.append(QueryResult(str(query), [], None, present, True, bool(proved[row])))
            continue
        some = ranking.indices[row][ranking.indices[row] >= 0]
        hits = _hits(query, gallery, some, ranking.distances[row], wanted.pids, calibration)
        if hits:
            near = np.concatenate([gallery[one : one + 1] for one in some.tolist()])
            seen = seen_in_both(features[row : row + 1], near, parts)[0]
            hits = [hit._replace(seen=tuple(both.tolist())) for hit, both in zip(hits, seen, strict=True)]
        results.append(QueryResult(str(query), hits, explanation, present, proved=bool(proved[row])))
    return results


def _rank_visible(
    features: np.ndarray, gallery: FeatureFile, wanted: _Wanted, with_nearest: bool
) -> tuple[Ranking, np.ndarray, Ranking | None]:
    """Return the ranking of each query, whether it is proved (Q,), and the nearest of all images if wanted.

    The nearest are those from which P(in the gallery) is computed: of all images, whatever they share with the query.
    """
    parts, top, nearest = gallery.origin.parts, wanted.top, None
    if wanted.engine == "numpy":
        ranking = visible_search(features, gallery, parts, top, wanted.min_seen)
        if with_nearest:
            nearest = visible_search(features, gallery, parts, SURE)
        return ranking, np.ones(len(features), bool), nearest
    path = wanted.index or index_file(gallery.path, wanted.engine)
    found = kept_index(VisibleFile(gallery), wanted.engine, path, wanted.overwrite)
    ranking, proved = search_visible_index(found, features, gallery, parts, top, wanted.min_seen)
    if with_nearest:
        nearest = search_visible_index(found, features, gallery, parts, SURE, candidates=SURE).ranking
    return ranking, proved, nearest


def _explanations(
    features: np.ndarray, ranking: Ranking, gallery: FeatureFile, wanted: _Wanted
) -> Sequence[Explanation | None]:
    """Return an explanation of each query's hits, or None for each where none are wanted."""
    return explain_hits(features, ranking.indices, gallery) if wanted.with_regions else [None] * len(features)


def _is_nobody(presence: float | None, least: float | None) -> bool:
    """Return whether the answer is "nobody here": P(in the gallery) is known, and below what was asked for."""
    return least is not None and presence is not None and presence < least


def _hits(
    query: Path,
    gallery: FeatureFile,
    rows: np.ndarray,
    distances: np.ndarray,
    pids: Mapping[str, int],
    calibration: Calibration | None,
) -> list[Hit]:
    pid = pids.get(digest_of(query))
    hits = []
    for row, distance in zip(rows.tolist(), distances.tolist(), strict=False):
        if row >= 0:  # -1 where an approximate index found fewer
            other = pids.get(gallery.digests[row])
            correct = None if pid is None or other is None else pid == other
            chance = None if calibration is None else calibration.probability(distance, 1 / (len(gallery) + 1))
            hits.append(Hit(gallery.keys[row], distance, correct, chance))
    return hits


def check_same_model(gallery: FeatureFile, model: Model, model_path: Path) -> None:
    """Raise StoreError unless the features were made by `model`."""
    if gallery.origin.model != model.digest:
        raise StoreError(
            f"{gallery.path} holds features of the model {gallery.origin.model[:12]}, {model_path} is "
            f"{model.digest[:12]}: features of different models cannot be compared. Name that model with --model, or "
            "embed the gallery again: dsa-train embed DIR --out FILE."
        )


def read_identities(manifest: Path) -> dict[str, int]:
    """Return the identity of each image of a manifest by the SHA-256 of its file; nothing if there is no manifest."""
    return {record.digest: record.pid for record in read_manifest(manifest)} if manifest.exists() else {}


def rank(
    query: np.ndarray,
    gallery: FeatureFile,
    top: int,
    engine: Engine = "numpy",
    index: Path | None = None,
    overwrite: bool = False,
) -> Ranking:
    """Return the nearest rows of a gallery for each query.

    Args:
        query: float (Q, D).
        gallery: read a block at a time by the engine "numpy".
        engine: "numpy", or the kind of a FAISS index, which is built and kept if it does not exist.
        index: file of the FAISS index; beside the features if None.
        overwrite: build the index again if it was built from other features.

    Raises:
        StoreError: for an index of other features, or one that cannot be read.
        ModelError: if FAISS is not installed.
    """
    if engine == "numpy":
        return search(query, gallery, top)
    return search_index(kept_index(gallery, engine, index or index_file(gallery.path, engine), overwrite), query, top)


def explain_hits(query: np.ndarray, rows: np.ndarray, gallery: FeatureFile) -> list[Explanation]:
    """Return for each query how far each body region agrees with each of its hits, see `dsa_reid.explain`.

    Args:
        query: float (Q, D).
        rows: int (Q, K), of the gallery; -1 for none, which only comes last.
        gallery: agreement is relative to at most 2,048 of its rows, spread evenly.

    Returns:
        Q explanations, of as many hits as each query has.
    """
    parts = {part: width for part, width in gallery.origin.parts.items() if part != VISIBILITY}
    width = sum(parts.values())
    sample = torch.from_numpy(_sample(gallery))[:, :width]
    explanations = []
    for feature, some in zip(query, rows, strict=True):
        near = [gallery[row : row + 1] for row in some[some >= 0].tolist()]
        hits = torch.from_numpy(np.concatenate([gallery[0:0], *near])).float()[:, :width]
        explanations.append(explain(torch.from_numpy(feature)[:width], hits, sample, parts))
    return explanations


def _sample(gallery: FeatureFile) -> np.ndarray:
    return gallery[:: max(1, math.ceil(len(gallery) / SAMPLE))].astype(np.float32)
