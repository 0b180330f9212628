"""Fusion of the streams' features."""

import torch

from dsa_train.network.fusion import Concatenation, Sum


def test_sum() -> None:
    f, d = torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    assert torch.equal(Sum()(f, d), f + d)


def test_concatenation_sees_both_and_keeps_the_shape() -> None:
    torch.manual_seed(0)
    fusion = Concatenation(32)
    f, d = torch.randn(2, 8, 4), torch.randn(2, 8, 4)
    z = fusion(f, d)
    assert z.shape == f.shape
    by_hand = fusion.fc.weight[5] @ torch.cat([f[1].flatten(), d[1].flatten()]) + fusion.fc.bias[5]
    torch.testing.assert_close(z[1, 1, 1], by_hand)
    assert fusion(f[:, 0].repeat(1, 8), d.flatten(1)).shape == (2, 32)


def test_the_papers_concatenation_is_4096_to_2048() -> None:
    with torch.device("meta"):
        assert Concatenation(2048).fc.weight.shape == (2048, 4096)
