import numpy as np
import pytest

from dsa_train.evaluation import matches
from dsa_train.evaluation.matches import Labels, find_matches, joined


@pytest.fixture(params=[True, False], ids=["ties", "no ties"])
def case(request):
    """A distance matrix (12, 40) and labels of five people and three cameras."""
    generator = np.random.default_rng(4)
    distmat = generator.integers(0, 6, (12, 40)) / 5 if request.param else generator.random((12, 40))
    pids, camids = ([generator.integers(0, end, count) for count in (12, 40)] for end in (5, 3))
    return distmat, Labels(*pids, *camids)


def test_counting_and_sorting_find_the_same_ranks(monkeypatch, case):
    counted = find_matches(*case)
    monkeypatch.setattr(matches, "FEW", 0)
    np.testing.assert_array_equal(find_matches(*case).ranks, counted.ranks)


def test_some_queries_after_others_are_all_queries(case):
    distmat, labels = case
    parts = [find_matches(distmat[some], labels.select(some)) for some in (slice(0, 5), slice(5, 12))]
    whole = find_matches(distmat, labels)
    for name in ("ranks", "counts", "ranked", "starts"):
        np.testing.assert_array_equal(getattr(joined(parts), name), getattr(whole, name))


def test_a_part_of_the_gallery_by_index():
    labels = Labels(np.array([1, 2]), np.array([1, 2, 3]), np.array([7, 8]), np.array([4, 5, 6]))
    some = labels.select(np.array([1]), np.array([2, 0]))
    assert [array.tolist() for array in (some.q_pids, some.g_pids, some.q_camids, some.g_camids)] == [
        [2],
        [3, 1],
        [8],
        [6, 4],
    ]


def test_the_gallery_images_of_each_querys_person():
    labels = Labels(np.array([2, 9, 1]), np.array([1, 2, 1, 2]), np.zeros(3), np.zeros(4))
    assert [columns.tolist() for columns in labels.same_pid()] == [[1, 3], [], [0, 2]]


def test_the_gallery_is_sorted_once(case):
    _, labels = case
    some = labels.select(slice(2, 5))
    assert some.by_pid is labels.by_pid
    part = labels.select(slice(None), np.array([3, 1, 7]))
    np.testing.assert_array_equal(part.by_pid, np.argsort(labels.g_pids[[3, 1, 7]], kind="stable"))
