import torch
from torch import nn

from dsa_train.ema import AveragedWeights


def test_by_hand():
    network = nn.BatchNorm1d(1)
    average = AveragedWeights(network, 0.5)
    for value in (3.0, 5.0):
        network.weight.data.fill_(value)
        network.running_mean.fill_(2 * value)
        network.num_batches_tracked += 1
        average.update(network)
    assert average.weights["weight"].item() == ((1 + 3) / 2 + 5) / 2
    assert average.weights["running_mean"].item() == ((0 + 6) / 2 + 10) / 2
    assert average.weights["num_batches_tracked"].item() == 2


def test_applied_while_the_context_lasts():
    network = nn.Linear(2, 2)
    average = AveragedWeights(network, 0.9)
    before = network.weight.detach().clone()
    network.weight.data += 1
    with average.applied_to(network):
        assert torch.equal(network.weight, before)
    assert torch.equal(network.weight, before + 1)
    assert torch.equal(average.weights["weight"], before)
