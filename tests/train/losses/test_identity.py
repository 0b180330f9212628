"""Label-smoothed cross entropy against a slow loop, with gradients."""

import pytest
import torch

from dsa_train.losses.identity import cross_entropy
from random_features import gradient, sampled


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_against_the_loop(smoothing: float) -> None:
    """Szegedy et al.: the target is 1 - ε on the truth plus ε / identities on every identity."""
    logits, labels = sampled(6, 5), torch.tensor([0, 4, 2, 2, 1, 3])
    losses = []
    for row, label in zip(logits, labels, strict=True):
        logp = row - torch.logsumexp(row, 0)
        target = torch.full((5,), smoothing / 5, dtype=torch.float64)
        target[label] += 1 - smoothing
        losses.append(-(target * logp).sum())
    slow, ours = torch.stack(losses).mean(), cross_entropy(logits, labels, smoothing)
    torch.testing.assert_close(ours, slow)
    torch.testing.assert_close(gradient(ours, logits), gradient(slow, logits))
