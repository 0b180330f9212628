"""Tracklets: pooled features equal loops over frames, whatever the order of rows; what a network has to predict."""

import dataclasses
from typing import Literal

import numpy as np
import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_data.records import Record
from dsa_reid import Unseen, usual_distances, visible_distances
from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.dataset import Images
from dsa_train.evaluation import tracklets
from dsa_train.evaluation.config import EvaluateConfig, protocol
from dsa_train.evaluation.per_query import ranking_rows
from dsa_train.evaluation.rankings import rankings
from dsa_train.evaluation.retrieval import Retrieval, Side, compare, ranked, sides
from dsa_train.evaluation.tracklets import pooled_tracklets

PARTS = {"global": 6, "local": 16, "visibility": 8}


def frames(count: int = 23, seed: int = 0) -> tuple[np.ndarray, list[Record]]:
    """Return features of frames, unit global and local parts, of five tracklets in no order, and a single image."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 30)).astype(np.float32)
    rows[:, :6] /= np.linalg.norm(rows[:, :6], axis=1, keepdims=True)
    rows[:, 6:22] /= np.linalg.norm(rows[:, 6:22], axis=1, keepdims=True)
    rows[:, 22:] = rng.uniform(size=(count, 8))
    tracks = rng.integers(1, 6, count)
    tracks[7] = 0
    return rows, [
        Record(f"{n:03}.png", "gallery", int(track) % 3 + 1, 5, 1, 1, f"{n:064x}", tracklet=int(track))
        for n, track in enumerate(tracks)
    ]


def unit(part: np.ndarray) -> np.ndarray:
    return part / np.linalg.norm(part)


def slowly(rows: np.ndarray, how: str) -> np.ndarray:
    """Return the feature of a tracklet from its frames (F, 30), one of `PARTS` after the other."""
    seen = rows[:, 22:]
    if how == "best":
        return rows[seen.sum(1).argmax()]
    if how == "mean":
        return np.concatenate([unit(rows[:, :6].mean(0)), unit(rows[:, 6:22].mean(0)), seen.max(0)])
    weight = seen.mean(1)[:, None]
    regions = [(rows[:, 6 + 2 * i : 8 + 2 * i] * seen[:, i : i + 1]).sum(0) / seen[:, i].sum() for i in range(8)]
    return np.concatenate([unit((rows[:, :6] * weight).sum(0)), unit(np.concatenate(regions)), seen.max(0)])


@pytest.mark.parametrize("how", ["mean", "best", "visible"])
@pytest.mark.parametrize("piece", [4, 4096])
def test_features_of_tracklets(
    monkeypatch: pytest.MonkeyPatch, how: Literal["mean", "best", "visible"], piece: int
) -> None:
    monkeypatch.setattr(tracklets, "ROWS", piece)
    rows, records = frames()
    first, pooled = pooled_tracklets(rows, records, PARTS, how)
    named = [record.tracklet for record in records]
    assert [named[row] for row in first] == list(dict.fromkeys(named))
    for row, feature in zip(first, pooled, strict=True):
        own = rows[[name == named[row] for name in named]]
        np.testing.assert_allclose(feature, slowly(own, how), atol=1e-5)


def test_a_network_without_visibilities_and_mixed_tracklets() -> None:
    rows, records = frames()
    with pytest.raises(TrainingError, match="need features with the visibilities"):
        pooled_tracklets(rows[:, :22], records, {"global": 6, "local": 16}, "best")
    records[3] = dataclasses.replace(records[3], pid=9)
    with pytest.raises(TrainingError, match="has images of two people or cameras"):
        pooled_tracklets(rows, records, PARTS, "mean")


def test_query_and_gallery_are_tracklets() -> None:
    rows, records = frames()
    queries = [dataclasses.replace(record, camid=1, split="query") for record in records]
    preprocessing = Preprocessing(8, 4)
    retrieval = Retrieval(*(Images(None, some, preprocessing) for some in (queries, records)))  # type: ignore[arg-type]

    def features(images: Images, what: str) -> np.ndarray:
        return rows

    def measured(config: EvaluateConfig) -> tuple[int, int, int]:
        query, gallery = sides(retrieval, config, features, PARTS)
        assert len(gallery.camids) == len(gallery.records) == gallery.features.shape[0]
        compared = compare(query, gallery, config, torch.device("cpu"))
        return compared.result.queries, len(gallery.records), query.features.shape[1]

    count = len({record.tracklet for record in records})
    assert measured(EvaluateConfig(tracklets="frames", distance="visible")) == (23, 23, 30)
    assert measured(EvaluateConfig(distance="visible")) == (count, count, 30)
    for how in ("auto", "mean", "best", "visible"):
        assert measured(EvaluateConfig(tracklets=how)) == (count, count, 22)  # the visibilities are not compared

    records[:] = [dataclasses.replace(record, tracklet=0) for record in records]
    with pytest.raises(TrainingError, match="needs tracklets, and this dataset has none"):
        sides(retrieval, EvaluateConfig(tracklets="best"), features, PARTS)
    assert protocol(EvaluateConfig(tracklets="best")) == "tracklets by the frame that shows most"
    with pytest.raises(ValueError, match="set one of the two"):
        EvaluateConfig(tracklets="mean", multiquery="average")


@pytest.mark.parametrize("min_seen", [0.0, 0.3])
def test_rankings_say_what_both_images_show(min_seen: float) -> None:
    rows, records = frames()
    records = [dataclasses.replace(record, tracklet=0, camid=number) for number, record in enumerate(records)]
    own = Side(rows[:4], [dataclasses.replace(record, camid=50) for record in records[:4]], np.full(4, 50), PARTS)
    others = Side(rows, records, np.arange(23), PARTS)
    config = EvaluateConfig(distance="visible", min_seen=min_seen)
    listed = rankings(own, others, config, torch.device("cpu"), 23)
    for query, ranking in enumerate(listed):
        for hit in ranking.hits:
            column = int(hit.record.key[:3])
            assert hit.seen == pytest.approx(np.minimum(rows[query, 22:], rows[column, 22:]).tolist())
            assert (hit.distance == np.inf) == (sum(hit.seen) / 8 < min_seen)
    first = next(ranking_rows(listed))
    assert first["seen"] == pytest.approx(np.mean(listed[0].hits[0].seen))
    assert first["compared"].endswith("of the body was seen in both")
    assert "seen" not in next(ranking_rows(rankings(own, others, EvaluateConfig(), torch.device("cpu"), 1)))
    with pytest.raises(ValueError, match="min_seen needs distance = visible"):
        EvaluateConfig(min_seen=0.5)
    with pytest.raises(ValueError, match="unseen needs distance = visible"):
        EvaluateConfig(unseen=0.5)
    assert EvaluateConfig(multiquery=False).multiquery == "off"  # type: ignore[arg-type]


def test_regions_that_are_not_seen_count_by_the_galleries_usual_distances() -> None:
    rows, records = frames()
    records = [dataclasses.replace(record, tracklet=0) for record in records]
    own, others = (Side(some, records[: len(some)], np.arange(len(some)), PARTS) for some in (rows[:4], rows))
    config = EvaluateConfig(distance="visible", unseen=0.5, memory=1e-9)  # a query a block
    found = np.concatenate([distmat for _, distmat in ranked(own, others, config, torch.device("cpu"))])
    unseen = Unseen(0.5, usual_distances(rows, PARTS))
    np.testing.assert_allclose(
        found, visible_distances(rows[:4], rows, PARTS, unseen), atol=1e-3
    )  # an image and itself: rounding
    assert np.abs(found - visible_distances(rows[:4], rows, PARTS).numpy()).max() > 0.01
    assert "regions that one image does not show count 50% at their usual distance" in protocol(config)
