import numpy as np
import pytest

from dsa_app.errors import DatasetError, TrainingError
from dsa_app.row_files import write_rows
from dsa_data.images import read
from dsa_train.against import against, read_queries, table, write_page
from dsa_train.evaluation.rankings import Hit, Ranking


def rows(ap, first=None, pids=None):
    first = [1 if one == 1 else 2 for one in ap] if first is None else first
    pids = list(range(len(ap))) if pids is None else pids
    return [
        {"query": f"query/{n}.jpg", "pid": pid, "camid": 1, "ap": value, "first_rank": rank, "matches": 1}
        for n, (value, rank, pid) in enumerate(zip(ap, first, pids, strict=True))
    ]


def test_differences_are_paired_by_query_in_any_order():
    this, other = rows([0.5, 1.0, 0.2, np.nan]), rows([0.4, 0.5, 0.6, np.nan])
    found = against(this, other[::-1], "b.csv")
    assert (found.queries, found.identities) == (3, 3)
    assert found.mAP.mean == pytest.approx((0.1 + 0.5 - 0.4) / 3)
    assert found.this_mAP - found.other_mAP == pytest.approx(found.mAP.mean)
    assert found.rank1.mean == pytest.approx(1 / 3)
    assert [one.query for one in found.changed] == ["query/1.jpg", "query/0.jpg", "query/2.jpg"]
    assert [round(one.gain, 6) for one in found.most_changed()] == [0.5, 0.1, -0.4]
    assert [round(one.gain, 6) for one in found.most_changed(1)] == [0.5, -0.4]
    assert "mAP 56.7 against 50.0" in table(found)
    assert found.measures()["changed"][0] == {"query": "query/1.jpg", "this": 1.0, "other": 0.5, "gain": 0.5}


def test_the_interval_covers_the_true_difference_and_is_over_identities():
    """Ten queries of each person that agree are one observation, not ten."""
    rng = np.random.default_rng(0)
    gains = rng.normal(0.1, 0.1, 60)
    wide = against(rows(np.repeat(0.3 + gains, 10), pids=np.repeat(range(60), 10)), rows([0.3] * 600), "b")
    narrow = against(rows(np.repeat(0.3 + gains, 10)), rows([0.3] * 600), "b")
    assert wide.mAP.low < 0.1 < wide.mAP.high
    assert wide.mAP.high - wide.mAP.low == pytest.approx(4 * 0.1 / 60**0.5, rel=0.25)
    assert (wide.mAP.high - wide.mAP.low) / (narrow.mAP.high - narrow.mAP.low) == pytest.approx(10**0.5, rel=0.2)


def test_results_on_other_queries_are_refused():
    with pytest.raises(TrainingError, match=r"b\.csv has 2 queries, this result 3; query/2\.jpg is only in one"):
        against(rows([1, 1, 1]), rows([1, 1]), "b.csv")
    with pytest.raises(TrainingError, match=r"query/2\.jpg is only in one"):
        against(rows([1, 1]), rows([1, 1, 1]), "b.csv")
    with pytest.raises(TrainingError, match="No query has a match in both"):
        against(rows([np.nan, 1]), rows([1, np.nan]), "b.csv")


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_a_file_of_rows_gives_the_comparison_of_the_rows(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    this, other = rows([0.5, 1.0, np.nan]), rows([0.25, 0.125, np.nan])
    path = write_rows(tmp_path / f"other.{suffix}", other)
    assert against(this, read_queries(path), "b") == against(this, other, "b")


def test_a_file_of_other_rows_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="has no column camid, ap, first_rank, matches"):
        read_queries(write_rows(tmp_path / "a.csv", [{"query": "a", "pid": 1}]))
    with pytest.raises(TrainingError, match="has other values than dsa-train evaluate --per-query writes"):
        read_queries(write_rows(tmp_path / "a.csv", [{**row, "ap": "high"} for row in rows([1])]))


def test_the_page_has_two_rows_a_query_that_changed(tiny, tmp_path):
    query, gallery = tiny.records("query"), tiny.records("gallery")
    ranked = {one.key: Ranking(one, 0.5, [Hit(gallery[0], 0.1, True, 1)]) for one in query}
    this, other = rows([0.5, 0.9, 0.3, 0.2]), rows([0.5, 0.4, 0.4, 0.2])
    for some in (this, other):
        for row, record in zip(some, query, strict=True):
            row["query"] = record.key
    found = against(this, other, "b")
    both = read(write_page(found, ranked, ranked, tiny.root, tmp_path / "both.png"))
    one = read(write_page(found, ranked, {}, tiny.root, tmp_path / "one.png"))
    assert both.shape[1] == one.shape[1]
    row = (both.shape[0] - one.shape[0]) / 2  # of two queries that changed
    assert one.shape[0] - 2 * row == both.shape[0] - 4 * row > 0
    assert write_page(against(this, this, "b"), ranked, {}, tiny.root, tmp_path / "none.png") is None
