import pytest
import torch

from dsa_app.errors import ConfigError
from dsa_data.charts import BODY_REGIONS
from dsa_reid import MainStreamConfig
from dsa_reid.main_stream import Features, MainStream
from dsa_train.explain.occlusion import GLOBAL, apart, change, feature_names, feature_shares, occlusion, shares, split

H, W = 32, 16
TALL = H // 8


class Blind:
    """Local head i sees rows 4·i to 4·i + 3 alone, the global one everything but the last four rows."""

    def __call__(self, images: torch.Tensor) -> Features:
        bands = 5 + images.unflatten(2, (8, TALL)).mean((3, 4))  # (B, 3, 8): not 0 where the mean is
        return Features(bands[..., :7].flatten(1), bands.transpose(1, 2))


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.randn(3, H, W, generator=torch.Generator().manual_seed(0)) + 2


def make_stream(**changes) -> MainStream:
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(**{"trunk": "resnet18", "width": 0.125, **changes}))
    stream(torch.randn(8, 3, H, W))  # running statistics of its own
    return stream.eval()


def test_a_head_that_sees_one_place_shows_it(picture):
    found = occlusion(Blind(), picture, window=TALL, stride=TALL, batch=7)
    assert found.shape == (9, H, W)
    for head, where in enumerate(found[1:]):
        rows = where.sum(1) > 0
        assert rows.nonzero().flatten().tolist() == list(range(TALL * head, TALL * head + TALL))
    assert (found[0, :-TALL] > 0).all()
    assert (found[0, -TALL:] == 0).all(), "what nobody looks at changes nothing, to the bit"


def test_a_pixel_has_the_mean_of_the_windows_that_cover_it(picture):
    """Each window by a loop; those over the border are cut."""
    window, stride = 6, 4
    expected, count = torch.zeros(9, H, W, dtype=torch.float64), torch.zeros(H, W)
    before = split(Blind()(picture[None]))
    for y in range(-2, H, stride):
        for x in range(-2, W, stride):
            where = torch.zeros(H, W, dtype=torch.bool)
            where[max(y, 0) : y + window, max(x, 0) : x + window] = True
            after = split(Blind()(picture[None] * ~where))
            expected[:, where] += change(before, after)[0][:, None]
            count[where] += 1
    torch.testing.assert_close(occlusion(Blind(), picture, window, stride), expected / count)


def test_batches_do_not_matter(picture):
    stream = make_stream()
    whole = occlusion(stream, picture, 8, 4)
    torch.testing.assert_close(occlusion(stream, picture, 8, 4, batch=3), whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(4, 5), (4, 0)])
def test_windows_that_leave_gaps_are_refused(picture, window, stride):
    with pytest.raises(ConfigError, match="leave gaps"):
        occlusion(Blind(), picture, window, stride)


def test_change_of_right_angles_and_of_nothing():
    before = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.1, 0.2]]), torch.tensor([[0.0, 0.0]])]
    after = [
        torch.tensor([[0.0, 3.0], [2.0, 2.0]]),
        torch.tensor([[0.1, 0.2], [0.2, 0.4]]),
        torch.tensor([[0.0, 0.0], [1.0, 0.0]]),
    ]
    expected = torch.tensor([[1, 0, 0], [1 - 0.5**0.5, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(change(before, after), expected)
    assert (change(before, after)[0, 1:] == 0).all()


def test_two_people_are_as_far_apart_as_their_pictures_on_average():
    """Two pictures of one person, one of another: pairs within a person do not count."""
    turned = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    found = apart([turned, torch.ones(3, 2)], [7, 7, 9])
    torch.testing.assert_close(found[0], torch.tensor((1 + 1 - 0.5**0.5) / 2, dtype=torch.float64))
    assert 0 < found[1] < 1e-3, "may be divided by"


@pytest.mark.parametrize("power", [1.0, 3.0, 2.5])
def test_shares_sum_to_one_and_are_the_squared_length(power):
    maps = torch.rand(2, 5, 4, 2, dtype=torch.float64)
    found = shares(maps, power)
    torch.testing.assert_close(found.sum((1, 2)), torch.ones(2, dtype=torch.float64))
    f = maps.pow(power).mean((2, 3)).pow(1 / power)
    for place in torch.cartesian_prod(torch.arange(4), torch.arange(2)).tolist():
        there = maps[:, :, place[0], place[1]]
        # f_c^(2-p) m_c^p / n adds up to f_c² over places; the average's is <m, f> / n
        length = (f.pow(2 - power) * there.pow(power)).sum(1) / 8
        torch.testing.assert_close(found[:, place[0], place[1]], length / f.square().sum(1))


def test_shares_worked_out_by_hand():
    """Two channels at two places: f = (2, 1), <m, f> = 4·2 + 0·1 and 0·2 + 2·1."""
    maps = torch.tensor([[[[4.0, 0.0]], [[0.0, 2.0]]]])
    torch.testing.assert_close(shares(maps)[0], torch.tensor([[0.8, 0.2]], dtype=torch.float64))
    assert (shares(torch.zeros(1, 2, 3, 3)) == 0).all()


@pytest.mark.parametrize("pooling", ["average", "gem"])
@pytest.mark.parametrize("heads", ["both", "global", "local"])
def test_every_main_stream_can_be_asked(picture, pooling, heads):
    stream = make_stream(pooling=pooling, heads=heads, neck="bn")
    names = feature_names(heads)
    assert names == [*([GLOBAL] if heads != "local" else []), *(BODY_REGIONS if heads != "global" else [])]
    found = feature_shares(stream, picture[None])
    assert found.shape == (1, len(names), 2, 1)
    torch.testing.assert_close(found.sum((2, 3)), torch.ones(1, len(names), dtype=torch.float64))
    seen = occlusion(stream, picture, 8, 4)
    assert seen.shape == (len(names), H, W)
    assert (seen.amax((1, 2)) > 0).all()


def test_shares_are_of_the_features_as_they_are_pooled(picture):
    """The maps' means, as the network computes them, give the same shares of the squared length."""
    stream = make_stream(local_input="full")
    maps = []
    hooks = [
        head.register_forward_hook(lambda module, inputs, output: maps.append(output))
        for head in (stream.global_head, stream.local_head)
    ]
    features = split(stream.features(picture[None]))
    for hook in hooks:
        hook.remove()
    found = feature_shares(stream, picture[None])[0]
    by_head = [maps[0], *maps[1].chunk(8, dim=1)]
    for f, map_, share in zip(features, by_head, found, strict=True):
        expected = torch.einsum("bchw,bc->bhw", map_, f)[0] / 2 / f.square().sum()
        torch.testing.assert_close(share.float(), expected)
