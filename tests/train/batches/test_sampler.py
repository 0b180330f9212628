import collections

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import TrainingError
from dsa_train.batches.sampler import epoch_batches


def sample(pids, P, K, seed=0):
    return epoch_batches(torch.tensor(pids), P, K, torch.Generator().manual_seed(seed))


@given(
    counts=st.lists(st.integers(1, 13), min_size=3, max_size=12),
    P=st.integers(1, 3),
    K=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=80, deadline=None)
def test_every_batch_is_p_by_k_and_every_image_is_used(counts, P, K, seed):
    pids = [pid * 10 for pid, count in enumerate(counts) for _ in range(count)]
    batches = sample(pids, P, K, seed)
    for batch in batches:
        by_identity = torch.tensor(pids)[batch].view(P, K)
        assert (by_identity == by_identity[:, :1]).all()
        assert len(by_identity[:, 0].unique()) == P
        for group in batch.view(P, K):
            own = pids.count(pids[group[0]])
            assert len(group.unique()) == min(K, own), "no image is repeated while another of the identity is left out"
    assert set(batches.flatten().tolist()) == set(range(len(pids)))
    groups = [-(-count // K) for count in counts]
    assert len(batches) == max(-(-sum(groups) // P), max(groups)), "no epoch is longer than it must be"


def test_images_repeat_only_to_fill_up():
    """Four identities of four images: an epoch is each image once."""
    sampled = sample([1] * 4 + [2] * 4 + [3] * 4 + [4] * 4, P=2, K=4).flatten().tolist()
    assert sorted(sampled) == list(range(16))


def test_fewer_than_k_images_are_repeated_evenly():
    batches = sample([5, 5, 6, 6, 6, 6, 6], P=2, K=5)
    assert len(batches) == 1
    count = collections.Counter(batches.flatten().tolist())
    assert sorted([count[0], count[1]]) == [2, 3]
    assert [count[index] for index in range(2, 7)] == [1] * 5


def test_a_pure_function_of_its_generator():
    pids = [1] * 7 + [2] * 5 + [3] * 9 + [4] * 2
    assert torch.equal(sample(pids, 2, 4, seed=1), sample(pids, 2, 4, seed=1))
    assert not torch.equal(sample(pids, 2, 4, seed=1), sample(pids, 2, 4, seed=2))


def test_identities_are_sampled_evenly():
    """With equal identities, each is as likely to share the first batch as another."""
    pids = [pid for pid in range(6) for _ in range(2)]
    seen = collections.Counter()
    for seed in range(600):
        seen.update(set(torch.tensor(pids)[sample(pids, 2, 2, seed)[0]].tolist()))
    assert all(150 < seen[pid] < 250 for pid in range(6))


def test_too_few_identities():
    with pytest.raises(TrainingError, match=r"needs 4 identities, the training split has 2.*identities=2"):
        sample([1, 1, 2], P=4, K=2)


@pytest.mark.parametrize("P", [1, 2, 4])
def test_one_identity_is_refused_and_not_recommended(P):
    with pytest.raises(TrainingError, match="images of 1 identity: training needs at least two") as caught:
        sample([1, 1, 1], P=P, K=2)
    assert "identities=1" not in str(caught.value)
