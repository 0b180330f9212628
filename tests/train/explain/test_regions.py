import numpy as np
import pytest
import torch

from dsa_data.charts import BODY_REGIONS
from dsa_reid.main_stream import Features
from dsa_reid.preprocessing import Preprocessing
from dsa_train.explain.body_maps import REGIONS
from dsa_train.explain.features import feature_names
from dsa_train.explain.regions import LOCAL, diagonal, region_changes, sensitivity, text

H, W = 36, 8
SIZE = Preprocessing(H, W)
MASKS = np.zeros((9, H, W), bool)
for band in range(9):
    MASKS[band, 4 * band : 4 * band + 4] = True


def bands(images: torch.Tensor) -> Features:
    """The features of a network whose local head i sees the i-th band alone, the global one only the last."""
    seen = 5 + images.unflatten(2, (9, 4)).mean((3, 4)).transpose(1, 2)  # (B, 9, 3)
    return Features(seen[:, 8], seen[:, :8])


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(150, 256, (H, W, 3), dtype=np.uint8)


def test_a_head_that_sees_one_region_changes_by_it_alone(image):
    found = region_changes(bands, image, MASKS, SIZE).numpy()
    assert found.shape == (9, 9)  # regions, features
    expected = np.zeros((9, 9), bool)
    expected[8, 0] = True  # the background moves the global feature
    expected[np.arange(8), 1 + np.arange(8)] = True
    np.testing.assert_array_equal(found > 0, expected)


def test_no_colour_of_a_region_is_left_at_its_edge(image):
    """Whatever the region held, the network sees the same, though the image is resized to half of its size."""
    seen = []

    def network(images: torch.Tensor) -> Features:
        seen.append(images)
        return bands(images)

    large, masks = image.repeat(2, 0).repeat(2, 1), MASKS.repeat(2, 1).repeat(2, 2)
    for content in (large, np.where(masks[3][..., None], np.uint8(0), large)):
        region_changes(network, content, masks, SIZE)
    one, other = seen
    assert not torch.equal(one[0], other[0]), "whole, they differ"
    assert torch.equal(one[1 + 3], other[1 + 3])
    assert one[1 + 3][:, 13:15].abs().max() < 0.02, "the mean, rounded to a byte"


def test_a_table_worked_out_by_hand():
    """Two images; the second does not show the hands. Feature 1 is the torso's."""
    changes, sizes = np.zeros((2, 9, 9)), np.full((2, 9), 0.125)
    changes[0, 0, 1], changes[1, 0, 1] = 0.2, 0.4  # torso masked, its own feature
    changes[0, 1, 1], changes[1, 1, 1] = 0.1, 0.9
    sizes[0, 0], sizes[1, 0] = 0.2, 0.4
    sizes[0, 1], sizes[1, 1] = 0.01, 0.001  # below what counts
    found = sensitivity(feature_names("both"), changes, sizes, np.full(9, 0.5))
    np.testing.assert_allclose(found.change[1, :3], [0.3, 0.1, 0])
    np.testing.assert_allclose(found.by_size[1, :3], [0.3 / 0.3, 0.1 / 0.01, 0])
    np.testing.assert_array_equal(found.images, [2, 1, 2, 2, 2, 2, 2, 2, 2])
    plain = found.plain()
    assert plain["pictures"]["hands"] == 1
    assert plain["by_size"]["torso"]["hands"] == pytest.approx(10)
    line = next(line for line in text({"one": found}).splitlines() if line.startswith("f_L,0 torso"))
    assert line.split()[2:5] == ["60.0", "20.0", "0.0"], "percent of the change between two people"


def test_a_region_in_no_image_is_nan():
    sizes = np.full((1, 9), 0.1)
    sizes[0, 2] = 0
    found = sensitivity(feature_names("both"), np.ones((1, 9, 9)), sizes, np.ones(9))
    assert np.isnan(found.change[:, 2]).all()
    assert found.plain()["reaction"]["global"]["feet"] is None
    assert found.diagonal is None
    assert "no number, since" in text({"one": found})


def test_the_diagonal_of_features_that_see_their_own_region():
    found = diagonal(np.eye(LOCAL))
    assert (found.share, found.features, found.regions) == (1, 8, 8)
    assert found.own == (1,) * 8
    assert found.p == pytest.approx(1 / 40320)
    assert found.chance == pytest.approx(1 / 8)


def test_the_diagonal_where_one_region_moves_all():
    """No order of the rows is better than another: all react to the head, and one is named after it."""
    matrix = np.ones((8, 8))
    matrix[:, 7] = 100
    found = diagonal(matrix)
    assert found.features == 1
    assert found.share == pytest.approx(1 / 8)
    assert found.p == 1


def test_chance_is_an_eighth_whatever_the_matrix():
    matrix = np.random.default_rng(1).random((8, 8)) ** 4
    matrix[3] = 0  # a feature that no region changes
    found = diagonal(matrix)
    assert found.chance == pytest.approx(1 / 8)
    rows = np.where(matrix.sum(1, keepdims=True) > 0, matrix / np.maximum(matrix.sum(1, keepdims=True), 1e-9), 1 / 8)
    assert found.share == pytest.approx(np.diag(rows).mean())
    assert found.own == pytest.approx(tuple(np.diag(rows)))
    assert 0 < found.p < 1


def test_two_networks_side_by_side():
    both = sensitivity(feature_names("both"), np.full((1, 9, 9), 0.5), np.full((1, 9), 0.1), np.ones(9))
    alone = sensitivity(feature_names("global"), np.full((1, 9, 1), 0.25), np.full((1, 9), 0.1), np.ones(1))
    told = text({"guided": both, "alone": alone})
    assert "In each cell: guided | alone" in told
    lines = told.splitlines()
    assert " 50.0| 25.0" in next(line for line in lines if line.startswith("f_G global"))
    assert " 50.0|    -" in next(line for line in lines if line.startswith("f_L,7 head"))
    assert " 12.5|    -" in next(line for line in lines if line.startswith("own region"))
    assert [name for name in REGIONS if name in told] == [*BODY_REGIONS, "background"]
