import pytest
import torch

from dsa_train.explain.features import feature_names, split
from dsa_train.explain.shares import feature_shares, shares


@pytest.mark.parametrize("power", [1.0, 3.0, 2.5])
def test_shares_sum_to_one_and_are_the_squared_length(power):
    maps = torch.rand(2, 5, 4, 2, dtype=torch.float64)
    found = shares(maps, power)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2, dtype=torch.float64))
    f = maps.pow(power).mean((2, 3)).pow(1 / power)
    for y, x in torch.cartesian_prod(torch.arange(4), torch.arange(2)).tolist():
        there = maps[:, :, y, x]
        # f_c^(2-p) m_c^p / n adds up to f_c² over positions; the average's is <m, f> / n
        length = (f.pow(2 - power) * there.pow(power)).sum(1) / 8
        torch.testing.assert_close(found[:, y, x], length / f.square().sum(1))


def test_shares_worked_out_by_hand():
    """Two channels at two positions: f = (2, 1), <m, f> = 4·2 + 0·1 and 0·2 + 2·1."""
    maps = torch.tensor([[[[4.0, 0.0]], [[0.0, 2.0]]]])
    torch.testing.assert_close(shares(maps)[0], torch.tensor([[0.8, 0.2]], dtype=torch.float64))
    assert (shares(torch.zeros(1, 2, 3, 3)) == 0).all()


@pytest.mark.parametrize("pooling", ["average", "gem"])
@pytest.mark.parametrize("heads", ["both", "global", "local"])
def test_every_main_stream_has_shares_of_each_feature(image, make_stream, pooling, heads):
    found = feature_shares(make_stream(pooling=pooling, heads=heads, neck="bn"), image[None])
    assert found.shape == (1, len(feature_names(heads)), 2, 1)
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(found.shape[:2], dtype=torch.float64))


def test_shares_are_of_the_features_as_they_are_pooled(image, make_stream):
    """The maps' means, as the network computes them, give the same shares of the squared length."""
    stream = make_stream(local_input="full")
    maps = []
    hooks = [
        head.register_forward_hook(lambda module, inputs, output: maps.append(output))
        for head in (stream.global_head, stream.local_head)
    ]
    features = split(stream.features(image[None]))
    for hook in hooks:
        hook.remove()
    found = feature_shares(stream, image[None])[0]
    by_head = [maps[0], *maps[1].chunk(8, dim=1)]
    for f, map_, share in zip(features, by_head, found, strict=True):
        expected = torch.einsum("bchw,bc->bhw", map_, f)[0] / 2 / f.square().sum()
        torch.testing.assert_close(share.float(), expected)


@pytest.mark.parametrize("join", ["concat", "sum"])
@pytest.mark.parametrize("way", ["regions", "stripes", "template", "regions+stripes"])
@pytest.mark.parametrize("pooling", ["average", "gem"])
def test_other_ways_of_pooling_have_shares_too(image, make_stream, way, join, pooling):
    changes = {"local_pooling": way, "local_levels": (16, 8), "local_join": join, "pooling": pooling, "size": (32, 16)}
    stream = make_stream(**changes)
    for template in stream.local_pooling.templates().values():
        template.copy_(torch.rand_like(template))
    found = feature_shares(stream, image[None])
    assert found.shape == (1, 9, 4, 2)
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(1, 9, dtype=torch.float64))


def test_shares_of_region_pooling_are_where_the_region_is(image, make_stream):
    """With all of the weight in one cell, the whole feature is from there."""
    stream = make_stream(local_pooling="template", size=(32, 16))
    (template,) = stream.local_pooling.templates().values()  # (9, 2, 1)
    template.zero_()
    template[3, 1, 0] = 1
    found = feature_shares(stream, image[None])[0]
    assert found[1 + 2].flatten().tolist() == [0, 1]
    assert not found[1:3].any(), "regions without weight have a feature of length 0"


@pytest.mark.parametrize("join", ["concat", "sum"])
def test_shares_of_two_levels_are_of_the_joined_feature(image, make_stream, join):
    """Removing what a cell adds to a feature changes <f, f> by its share, to first order; here exactly, as f is linear
    in the maps."""
    stream = make_stream(local_pooling="stripes", local_levels=(16, 8), local_join=join)
    with torch.no_grad():
        f = stream(image[None]).local[0]  # (8, L)
        maps = stream.trunk.levels(image[None])
        coarse, fine = stream.local_pooling.look(maps, stream.local_head(maps[16]), {})
    parts = [one.maps.unflatten(1, (8, -1))[0] * one.weights[0][:, None] for one in (coarse, fine)]
    weights = [one.weights[0].sum((1, 2)) + 1e-3 for one in (coarse, fine)]
    own = [part / weight[:, None, None, None] for part, weight in zip(parts, weights, strict=True)]
    width = f.shape[1] // 2
    by_level = (f[:, :width], f[:, width:]) if join == "concat" else (f, f)
    first, second = (torch.einsum("ichw,ic->ihw", one, g) for one, g in zip(own, by_level, strict=True))
    expected = first.repeat_interleave(2, 1).repeat_interleave(2, 2) / 4 + second
    expected = expected / f.square().sum(1)[:, None, None]
    torch.testing.assert_close(feature_shares(stream, image[None])[0, 1:].float(), expected, atol=1e-5, rtol=1e-4)
