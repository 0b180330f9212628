"""The circle loss against pytorch-metric-learning, with gradients."""

import pytest
import torch
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import reducers

from dsa_train.losses.circle import circle_loss
from random_features import PIDS, gradient, sampled


@pytest.mark.parametrize(("margin", "scale"), [(0.25, 64.0), (0.4, 8.0)])
def test_circle_against_pytorch_metric_learning(margin: float, scale: float) -> None:
    x = sampled(len(PIDS), 8)
    theirs = pml_losses.CircleLoss(m=margin, gamma=scale, reducer=reducers.MeanReducer())(x, PIDS)
    ours = circle_loss(x, PIDS, margin, scale)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient(ours, x), gradient(theirs, x))


@pytest.mark.parametrize("pids", [[0, 0, 0], [0, 1, 2]], ids=["no negative", "no positive"])
def test_circle_of_an_empty_set_is_a_zero_in_the_graph(pids: list[int]) -> None:
    x = sampled(3, 4)
    loss = circle_loss(x, torch.tensor(pids), 0.25, 64.0)
    assert loss.item() == 0
    assert torch.equal(gradient(loss, x), torch.zeros_like(x))
