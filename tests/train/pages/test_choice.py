"""Which queries are shown, who is confused with whom, and who is found least: against rankings made by hand."""

import math

from dsa_data.records import Record
from dsa_train.evaluation.rankings import Hit, Ranking
from dsa_train.pages.choice import choose, confused, hardest


def record(key, pid, camid=1):
    return Record(key, "query", pid, camid, 8, 16, "0" * 64)


def ranking(key, pid, ap, hits=()):
    """A ranking of hits, each an identity, its distance, and its rank or None where it does not count."""
    listed = [Hit(record(f"g{other}-{key}", other, 2), distance, other == pid, rank) for other, distance, rank in hits]
    return Ranking(record(key, pid), ap, listed)


def test_worst_best_and_those_between():
    some = [ranking(f"q{n:02}", n, n / 20) for n in range(20)] + [ranking("none", 99, math.nan)]
    chosen = choose([some], 2)
    assert [(one.key, one.groups) for one in chosen] == [
        ("q00", ("worst",)),
        ("q01", ("worst",)),
        ("q02", ("between",)),
        ("q17", ("between",)),
        ("q18", ("best",)),
        ("q19", ("best",)),
    ]


def test_few_queries_are_best_and_worst():
    chosen = choose([[ranking("a", 1, 0.5), ranking("b", 2, 0.5)]], 5)
    assert [(one.key, set(one.groups)) for one in chosen] == [("a", {"worst", "best"}), ("b", {"worst", "best"})]


def test_queries_that_another_run_changes_most():
    first = [ranking(f"q{n}", n, n / 10) for n in range(9)]
    other = [ranking(f"q{n}", n, 1.0 if n == 4 else n / 10) for n in range(9)]
    (changed,) = [one for one in choose([first, other], 1) if "changed" in one.groups]
    assert changed.key == "q4"
    assert not [one for one in choose([first, first], 1) if "changed" in one.groups]


def test_people_are_confused_where_another_comes_before_the_first_right_image():
    some = [
        ranking("a", 1, 0.5, [(2, 0.1, 1), (2, 0.15, 2), (0, 0.2, 3), (1, 0.25, None), (1, 0.3, 4), (3, 0.4, 5)]),
        ranking("b", 2, 0.5, [(1, 0.05, 1), (2, 0.3, 2)]),
        ranking("c", 3, 1.0, [(3, 0.1, 1), (1, 0.2, 2)]),
    ]
    (pair,) = confused(some, 10)
    assert (pair.times, pair.distance) == (2, 0.05)
    assert (pair.query.key, pair.other.pid) == ("b", 1)


def test_the_identity_that_is_found_least_comes_first():
    some = [ranking("a", 1, 0.9), ranking("b", 1, 0.5), ranking("c", 2, 0.1), ranking("d", 3, math.nan)]
    assert [(one.pid, round(one.ap, 2), one.queries) for one in hardest(some, 5)] == [(2, 0.1, 1), (1, 0.7, 2)]
