"""Shares of cells, the weighted mean over them, and the head that predicts them, by hand on small maps."""

import pytest
import torch

from dsa_reid.pooling import GeneralisedMean
from dsa_reid.region_pooling import (
    RegionHead,
    in_cells,
    label_shares,
    position,
    region_pooled,
    stripes,
    visibility,
)


def test_a_local_feature_is_the_mean_over_the_cells_of_its_region() -> None:
    maps = torch.zeros(1, 16, 2, 2)  # eight local maps of two channels
    maps[0, :2] = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[8.0, 6.0], [4.0, 2.0]]])
    weights = torch.zeros(1, 8, 2, 2)
    weights[0, 0] = torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    pooled = region_pooled(maps, weights)
    assert pooled.shape == (1, 8, 2)
    expected = torch.tensor([2 + 0.5 * 3, 6 + 0.5 * 4]) / (1.5 + 1e-3)
    torch.testing.assert_close(pooled[0, 0], expected)
    assert (pooled[0, 1:] == 0).all(), "regions that no cell shows"


def test_the_generalised_mean_by_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, weights = torch.rand(2, 24, 3, 2, generator=generator), torch.rand(2, 8, 3, 2, generator=generator)
    pool = GeneralisedMean()
    found = region_pooled(maps, weights, pool)
    for b in range(2):
        for i in range(8):
            for c in range(3):
                total = sum(
                    weights[b, i, y, x] * maps[b, 3 * i + c, y, x].clamp(min=1e-6) ** 3
                    for y in range(3)
                    for x in range(2)
                )
                expected = (total / (weights[b, i].sum() + 1e-3)) ** (1 / 3)
                torch.testing.assert_close(found[b, i, c], expected)


def test_sums_are_in_float32_also_of_maps_in_half_precision() -> None:
    maps = torch.full((1, 8, 64, 64), 1 / 3).bfloat16()
    pooled = region_pooled(maps, torch.ones(1, 8, 64, 64))
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, maps[:, :, :1, 0].float(), rtol=1e-5, atol=1e-5)


def test_labels_are_shares_of_their_cells() -> None:
    regions = torch.tensor([[[0, 0, 3, 3], [0, 8, 3, 255]]], dtype=torch.uint8)
    shares = in_cells(label_shares(regions), (1, 2))
    assert shares.shape == (1, 9, 1, 2)
    assert shares[0, :, 0, 0].tolist() == [0.75, 0, 0, 0, 0, 0, 0, 0, 0.25]
    assert shares[0, :, 0, 1].tolist() == [0, 0, 0, 0.75, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("h", [2, 4, 5, 8, 12, 16])
def test_stripes_have_equal_height_in_any_number_of_rows(h: int) -> None:
    shares = stripes(h, 3)
    assert shares.shape == (1, 8, h, 3)
    torch.testing.assert_close(shares.sum(1), torch.ones(1, h, 3))
    torch.testing.assert_close(shares.sum((0, 2, 3)), torch.full((8,), 3 * h / 8))
    assert (shares.argmax(1).diff(dim=1) >= 0).all(), "from top to bottom"
    if h == 16:
        assert shares[0, 2, :, 0].tolist() == [0] * 4 + [1, 1] + [0] * 10


def test_positions_do_not_tell_left_from_right() -> None:
    places = position(torch.zeros(2, 5, 3, 4))
    assert places.shape == (2, 2, 3, 4)
    assert places[1, 0, :, 2].tolist() == [-1, 0, 1]
    assert torch.equal(places, places.flip(3))
    assert places[0, 1, 0, 0] == 1


def test_the_head_of_a_flipped_map_predicts_flipped_regions() -> None:
    torch.manual_seed(0)
    head, maps = RegionHead(6).eval(), torch.randn(2, 6, 4, 3)
    torch.testing.assert_close(head(maps.flip(3)), head(maps).flip(3))
    shifted = maps.roll(1, dims=2)
    assert not torch.allclose(head(shifted)[:, :, 1:], head(maps)[:, :, :-1]), "the row is an input"


def test_a_region_is_as_visible_as_its_surest_cell() -> None:
    shares = torch.zeros(1, 9, 2, 2)
    shares[0, 0] = 1
    shares[0, 3, 1, 1] = 0.7
    assert visibility(shares)[0].tolist() == pytest.approx([0, 0, 0.7, 0, 0, 0, 0, 0])
