import pytest
import torch

from dsa_app.errors import ConfigError
from dsa_data.charts import BODY_REGIONS
from dsa_reid.main_stream import Features
from dsa_train.explain.features import GLOBAL, change, feature_names, split
from dsa_train.explain.occlusion import occlusion

H, W = 32, 16
TALL = H // 8


class Blind:
    """Local head i sees rows 4·i to 4·i + 3 alone, the global one everything but the last four rows."""

    def __call__(self, images: torch.Tensor) -> Features:
        bands = 5 + images.unflatten(2, (8, TALL)).mean((3, 4))  # (B, 3, 8): not 0 where the mean is
        return Features(bands[..., :7].flatten(1), bands.transpose(1, 2))


def test_a_head_that_sees_a_few_rows_has_its_map_there(image):
    found = occlusion(Blind(), image, window=TALL, stride=TALL, batch=7)
    assert found.shape == (9, H, W)
    for head, where in enumerate(found[1:]):
        rows = where.sum(1) > 0
        assert rows.nonzero().flatten().tolist() == list(range(TALL * head, TALL * head + TALL))
    assert (found[0, :-TALL] > 0).all()
    assert (found[0, -TALL:] == 0).all(), "exactly 0 where the feature does not look"


def test_a_pixel_has_the_mean_of_the_windows_that_cover_it(image):
    """Each window by a loop; those over the border are cut."""
    window, stride = 6, 4
    expected, count = torch.zeros(9, H, W, dtype=torch.float64), torch.zeros(H, W)
    before = split(Blind()(image[None]))
    for y in range(-2, H, stride):
        for x in range(-2, W, stride):
            where = torch.zeros(H, W, dtype=torch.bool)
            where[max(y, 0) : y + window, max(x, 0) : x + window] = True
            after = split(Blind()(image[None] * ~where))
            expected[:, where] += change(before, after)[0][:, None]
            count[where] += 1
    torch.testing.assert_close(occlusion(Blind(), image, window, stride), expected / count)


def test_batches_do_not_matter(image, make_stream):
    stream = make_stream()
    whole = occlusion(stream, image, 8, 4)
    torch.testing.assert_close(occlusion(stream, image, 8, 4, batch=3), whole, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("window", "stride"), [(4, 5), (4, 0)])
def test_a_stride_that_leaves_pixels_uncovered_is_refused(image, window, stride):
    with pytest.raises(ConfigError, match="leaves pixels uncovered"):
        occlusion(Blind(), image, window, stride)


@pytest.mark.parametrize("pooling", ["average", "gem"])
@pytest.mark.parametrize("heads", ["both", "global", "local"])
def test_every_main_stream_has_a_map_for_each_feature(image, make_stream, pooling, heads):
    stream = make_stream(pooling=pooling, heads=heads, neck="bn")
    names = feature_names(heads)
    assert names == [*([GLOBAL] if heads != "local" else []), *(BODY_REGIONS if heads != "global" else [])]
    maps = occlusion(stream, image, 8, 4)
    assert maps.shape == (len(names), *image.shape[1:])
    assert (maps.amax((1, 2)) > 0).all()
