"""Clothes protocols: equal to the rule as its authors wrote it, image by image; refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_data.records import Record
from dsa_train.evaluation.config import EvaluateConfig, protocol
from dsa_train.evaluation.label_table import read_table
from dsa_train.evaluation.rankings import rankings
from dsa_train.evaluation.retrieval import Side, camera_numbers, compare
from dsa_train.evaluation.same_or_not import same_or_not

CPU = torch.device("cpu")


def side(split: str, count: int, seed: int, clothes: bool = True) -> Side:
    """Return images of four people in three outfits before three cameras, and distractors, with random features."""
    rng = np.random.default_rng(seed)
    records = [
        Record(
            f"{split}/{n}.png",
            split,
            int(rng.integers(0 if split == "gallery" else 1, 5)),
            int(rng.integers(3)),
            1,
            1,
            f"{n:064x}",
            clothes=int(rng.integers(1, 4)) * clothes,
        )
        for n in range(count)
    ]
    return Side(rng.normal(size=(count, 5)).astype(np.float32), records, camera_numbers(records, EvaluateConfig()))


def by_the_rule(query: Side, gallery: Side, mode: str) -> list[float]:
    """Return each query's average precision by the sets of Gu et al. (CVPR 2022), in plain loops."""
    scores = []
    for row, one in zip(np.asarray(query.features[:]), query.records, strict=True):
        distances = np.linalg.norm(np.asarray(gallery.features[:]) - row, axis=1)
        good, junk = set(), set()
        for column, other in enumerate(gallery.records):
            if other.pid != one.pid:
                continue
            same = other.clothes == one.clothes
            wanted = {"any": True, "changed": not same, "same": same}[mode]
            (good if other.camid != one.camid and wanted else junk).add(column)
        order = [column for column in np.argsort(distances).tolist() if column not in junk]
        ranks = [rank for rank, column in enumerate(order, start=1) if column in good]
        scores.append(float(np.mean([n / rank for n, rank in enumerate(ranks, start=1)])) if ranks else np.nan)
    return scores


@pytest.mark.parametrize("mode", ["any", "changed", "same"])
def test_average_precision_by_the_authors_rule(mode: str) -> None:
    query, gallery = side("query", 12, 0), side("gallery", 40, 1)
    config = EvaluateConfig(clothes=mode)
    expected = by_the_rule(query, gallery, mode)
    compared = compare(query, gallery, config, CPU)
    assert compared.result.ap.tolist() == pytest.approx(expected, nan_ok=True)
    assert compared.result.left_out == np.isnan(expected).sum()
    listed = rankings(query, gallery, config, CPU, 40)
    assert [ranking.ap for ranking in listed] == pytest.approx(expected, nan_ok=True)
    for ranking in listed:  # the page greys what the protocol leaves out
        for hit in ranking.hits:
            same = hit.record.clothes == ranking.query.clothes
            left_out = hit.correct and (
                hit.record.camid == ranking.query.camid or {"any": False, "changed": same, "same": not same}[mode]
            )
            assert (hit.rank is None) == left_out
    pairs = same_or_not(query, gallery, config, CPU).pairs.curve
    assert pairs.same.sum() == compared.matches.counts.sum()


@pytest.mark.parametrize("mode", ["changed", "same"])
def test_one_gallery_image_a_person_in_the_right_clothes(mode: str) -> None:
    query, gallery = side("query", 12, 2), side("gallery", 40, 3)
    result = compare(query, gallery, EvaluateConfig(clothes=mode, gallery="single-shot", repeats=3), CPU).result
    whole = compare(query, gallery, EvaluateConfig(clothes=mode), CPU).result
    assert np.isnan(result.ap).tolist() == np.isnan(whole.ap).tolist()
    assert 0 < result.mAP <= 1


def test_clothes_that_are_unknown_are_reported(tmp_path: Path) -> None:
    query, gallery = side("query", 4, 0, clothes=False), side("gallery", 9, 1)
    with pytest.raises(TrainingError, match=r"evaluate\.clothes=changed needs to know who wears what"):
        compare(query, gallery, EvaluateConfig(clothes="changed"), CPU)
    assert protocol(EvaluateConfig(clothes="same")) == "matches in same clothes"
    (tmp_path / "labels.csv").write_text("path,pid,camid,split,clothes\na.png,1,1,query,2\nb.png,1,2,gallery,\n")
    assert [record.clothes for record in read_table(tmp_path / "labels.csv")] == [2, 0]
