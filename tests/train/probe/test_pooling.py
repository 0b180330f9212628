"""Pooling by weights, by hand."""

import numpy as np
import pytest
import torch

from dsa_reid.region_pooling import LEAST, region_pooled
from dsa_train.probe.pooling import pool, template


def test_a_feature_is_the_weighted_mean() -> None:
    maps = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])  # (1, 1, 2, 2)
    weights = torch.zeros(1, 8, 2, 2)
    weights[0, 0] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    weights[0, 1] = torch.tensor([[0.5, 0.0], [0.0, 1.5]])
    found = pool(maps, weights)
    assert found.shape == (1, 8, 1)
    assert found[0, :, 0].tolist() == pytest.approx([1 / (1 + LEAST), (0.5 + 6) / (2 + LEAST), *[0] * 6])


def test_weights_for_all_images() -> None:
    maps, weights = torch.randn(3, 5, 4, 2), torch.rand(1, 8, 4, 2)
    assert torch.equal(pool(maps, weights), pool(maps, weights.expand(3, -1, -1, -1)))


def test_it_is_region_pooling_of_eight_equal_maps() -> None:
    maps, weights = torch.randn(3, 5, 4, 2), torch.rand(3, 8, 4, 2)
    assert torch.allclose(pool(maps, weights), region_pooled(maps.repeat(1, 8, 1, 1), weights), atol=1e-6)


def test_the_template_is_the_mean_of_the_images_with_a_map() -> None:
    shares = np.zeros((3, 9, 1, 1), np.float16)
    shares[0, 0], shares[1, 1], shares[2, 5] = 1, 1, 1
    found = template(shares, np.array([True, True, False]))
    assert found[0, :, 0, 0].tolist() == [0.5, 0.5, *[0] * 7]
