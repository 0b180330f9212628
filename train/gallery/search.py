"""Queries against a file of features: the same model on both sides, exactly or by an index kept beside the features."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch

from dsa_app.errors import ConfigError, StoreError
from dsa_app.interrupt import deferred
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_reid.atomic import atomic, write_atomic
from dsa_reid.calibration import Calibration
from dsa_reid.guard import reason
from dsa_reid.metric import distances as pairwise_distances
from dsa_reid.metric import visible_distances
from dsa_reid.model import VISIBILITY, Model, digest_of
from dsa_reid.nearest import Kind, Ranking, build_index, require_faiss, search, search_index
from dsa_reid.regions import Explanation, explain
from dsa_reid.visible import VisibleRows, describe, search_visible_index, seen_in_both, visible_search

from .config import Engine
from .feature_files import FeatureFile
from .stored_index import read_index

FORMAT = "dsa-reid index"
OTHER = "name another image: --query FILE."  # the remedy for a query that is missing or damaged
SURE = 200  # hits from which P(in the gallery) is computed
SAMPLE = 2048  # gallery rows to which a distance in a region is compared


class Hit(NamedTuple):
    """A gallery image near a query: its key, distance, and whether it shows the query's person; None if unknown.

    `probability` is that it does, if one image in the gallery may as well as nobody's; None without calibration. `seen`
    is how much of each of the eight regions both show; None for features without visibilities.
    """

    key: str
    distance: float
    correct: bool | None = None
    probability: float | None = None
    seen: tuple[float, ...] | None = None


class QueryResult(NamedTuple):
    """A query's path and its hits, nearest first.

    `presence` is the probability that the person is in the gallery; None without calibration. `nobody` is whether it is
    below the least probability that was asked for; there are no hits then. `proved` is whether no other image of the
    gallery is nearer; False where that is not known.
    """

    query: str
    hits: Sequence[Hit]
    explanation: Explanation | None = None
    presence: float | None = None
    nobody: bool = False
    proved: bool = False


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
    if visible:
        return _search_visible(
            queries, gallery, model, top, engine, index, with_regions, overwrite, pids or {}, min_probability, min_seen
        )
    if min_seen:
        raise ConfigError(
            "--min-seen needs to know what images show, and this gallery's features have no visibilities. Embed it "
            "with --visibility."
        )
    features = model.embed([_read(query) for query in queries]).numpy()  # (Q, D)
    # With more hits than are shown the probability that somebody is there is more exact: further ones add little.
    ranking = rank(features, gallery, max(top, SURE) if model.calibration else top, engine, index, overwrite)
    presence = [None] * len(queries)
    if model.calibration is not None:
        usual = pairwise_distances(features, _sample(gallery)).numpy()
        presence = model.presence(ranking.distances, len(gallery), usual).tolist()
    ranking = Ranking(ranking.distances[:, :top], ranking.indices[:, :top])
    explanations = explain_hits(features, ranking.indices, gallery) if with_regions else [None] * len(queries)
    results = []
    for query, rows, distances, explanation, present in zip(
        queries, ranking.indices, ranking.distances, explanations, presence, strict=True
    ):
        nobody = _is_nobody(present, min_probability)
        hits = [] if nobody else _hits(query, gallery, rows, distances, pids or {}, model.calibration)
        results.append(QueryResult(str(query), hits, None if nobody else explanation, present, nobody))
    return results


def _read(query: Path) -> np.ndarray:
    """Return a query's image, uint8 (H, W, 3), RGB. Raises ImageError."""
    return images.decode(images.read_bytes(query, OTHER), query, OTHER)


def _search_visible(
    queries: Sequence[Path],
    gallery: FeatureFile,
    model: Model,
    top: int,
    engine: Engine,
    index: Path | None,
    with_regions: bool,
    overwrite: bool,
    pids: Mapping[str, int],
    min_probability: float | None,
    min_seen: float,
) -> list[QueryResult]:
    """Return what `search_images` returns, by what both images show."""
    parts = gallery.origin.parts
    features = model.embed([_read(query) for query in queries], visibility=True).numpy()  # (Q, D + 8)
    calibration = model.visible_calibration
    presence: list[float | None] = [None] * len(queries)
    if engine == "numpy":
        ranking = visible_search(features, gallery, parts, top, min_seen)
        proved = np.ones(len(queries), bool)
        if calibration is not None:  # of all images, whatever they share with the query
            nearest = visible_search(features, gallery, parts, SURE)
    else:
        rows = _VisibleFile(gallery)
        found = _index(rows, engine, index or index_file(gallery.path, engine), overwrite)
        ranking, proved = search_visible_index(found, features, gallery, parts, top, min_seen)
        if calibration is not None:
            nearest = search_visible_index(found, features, gallery, parts, SURE, candidates=SURE).ranking
    if calibration is not None:
        usual = visible_distances(features, _sample(gallery), parts).numpy()
        presence = calibration.presence(nearest.distances, len(gallery), usual).tolist()
    explanations = explain_hits(features, ranking.indices, gallery) if with_regions else [None] * len(queries)
    results = []
    for row, (query, explanation, present) in enumerate(zip(queries, explanations, presence, strict=True)):
        if _is_nobody(present, min_probability):
            results.append(QueryResult(str(query), [], None, present, True, bool(proved[row])))
            continue
        some = ranking.indices[row][ranking.indices[row] >= 0]
        hits = _hits(query, gallery, some, ranking.distances[row], pids, calibration)
        if hits:
            near = np.concatenate([gallery[one : one + 1] for one in some.tolist()])
            seen = seen_in_both(features[row : row + 1], near, parts)[0]
            hits = [hit._replace(seen=tuple(both.tolist())) for hit, both in zip(hits, seen, strict=True)]
        results.append(QueryResult(str(query), hits, explanation, present, proved=bool(proved[row])))
    return results


def _is_nobody(presence: float | None, least: float | None) -> bool:
    """Return whether the answer is "nobody here": P(in the gallery) is known, and below what was asked for."""
    return least is not None and presence is not None and presence < least


class _VisibleFile(VisibleRows):
    """A file of features with visibilities, as the vectors that an index of it holds."""

    def __init__(self, gallery: FeatureFile) -> None:
        super().__init__(gallery, gallery.origin.parts)
        self.path, self.identity = gallery.path, f"{gallery.identity} by visibility"


def hit_rows(results: Sequence[QueryResult]) -> list[dict[str, Any]]:
    """Return a row a hit, for other programs; a query that nobody answers has one without an image."""
    rows = []
    for result in results:
        for place, hit in enumerate(result.hits or [None], start=1):
            row: dict[str, Any] = {
                "query": result.query,
                "place": place if hit else None,
                "image": hit.key if hit else None,
            }
            row |= {"distance": hit.distance if hit else None, "correct": hit.correct if hit else None}
            row |= {"probability": hit.probability if hit else None, "presence": result.presence}
            row |= {"nobody": result.nobody}
            if hit and hit.seen is not None:
                row |= {"seen": sum(hit.seen) / len(hit.seen), "compared": describe(hit.seen)}
            rows.append(row)
    return rows


def read_identities(manifest: Path) -> dict[str, int]:
    """Return the identity of each image of a manifest by the SHA-256 of its file; nothing if there is no manifest."""
    return {record.digest: record.pid for record in read_manifest(manifest)} if manifest.exists() else {}


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
    return search_index(_index(gallery, engine, index or index_file(gallery.path, engine), overwrite), query, top)


def index_file(features: Path, kind: Kind) -> Path:
    """Return the usual file of the index of a file of features."""
    return features.with_name(f"{features.name}.{kind}.faiss")


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


class _Disk:
    """A file that reports no error to FAISS, which turns it into one without a cause, but keeps the first one."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        """Write all of `data`; after an error nothing is written."""
        with deferred():
            try:
                if not self.error:
                    self._file.write(data)
            except OSError as error:
                self.error = error


def _index(gallery: FeatureFile | _VisibleFile, kind: Kind, path: Path, overwrite: bool) -> Any:
    """Return the index at `path`; it is built and written if it does not exist, or with `overwrite`."""
    faiss = require_faiss()
    about: dict[str, object] = {"format": FORMAT, "kind": kind, "features": gallery.identity}
    note = path.with_name(path.name + ".json")  # of what the index was built from
    # The note is written last: an index without one was interrupted, and is written again.
    if path.exists() and note.exists() and not overwrite:
        try:
            written = json.loads(note.read_text(encoding="utf-8"))
            if not isinstance(written, dict) or written.get("format") != FORMAT:
                raise ValueError(f"{note.name} is not the note of an index")
            if {name: written.get(name) for name in about} != about:
                raise StoreError(
                    f"{path} was built from other features than {gallery.path} holds now, or is of another kind. "
                    "Build it again: dsa-train search --overwrite."
                )
            if written.get("index") != digest_of(path):
                raise ValueError("its bytes are not those that were written")
            return read_index(path, kind, *gallery.shape)
        except StoreError:
            raise
        except Exception as error:  # readers raise anything for damaged files
            raise StoreError(
                f"{path} cannot be read ({reason(error)}). Build it again: dsa-train search --overwrite."
            ) from None
    index = build_index(gallery, kind)
    note.unlink(missing_ok=True)
    with atomic(path) as part:
        with part.open("wb") as file:
            disk = _Disk(file)
            faiss.write_index(index, faiss.PyCallbackIOWriter(disk.write))
        if disk.error:
            raise disk.error
        about["index"] = digest_of(part)
    write_atomic(note, (json.dumps(about, sort_keys=True) + "\n").encode())
    return index
