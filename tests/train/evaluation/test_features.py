import pytest
import torch
import torch.nn.functional as F

from dsa_app.errors import TrainingError
from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.augment import fill, mirror_table, mirrored
from dsa_train.batches.dataset import Images
from dsa_train.evaluation.features import extract, lengths
from dsa_train.network.two_stream import TwoStream

SIZE = Preprocessing(64, 32)


@pytest.fixture(scope="module")
def pictures(tiny):
    return Images(tiny.root, tiny.records("gallery"), SIZE, tiny.store())


def network(small, heads="both", guide=True):
    torch.manual_seed(0)
    made = {"main": {"trunk": "resnet18", "width": 0.125, "heads": heads}, "guide": guide, "weights": "none"}
    return TwoStream(small(network=made).network, identities=3)


def test_each_match_compares_what_it_says(pictures, small):
    """Against one image at a time, through the whole network, joined by hand."""
    both = network(small).eval()
    with torch.no_grad():
        for n in range(3):
            batch = pictures.read([n])
            out = both(SIZE.normalise(batch.images), fill(batch.texels, batch.valid, SIZE))
            unit = {name: F.normalize(getattr(out, name).flatten(), dim=0) for name in out._fields[:6]}
            expected = {
                "main": torch.cat([unit["f_global"], unit["f_local"]]),
                "fused": torch.cat([unit["z_global"], unit["z_local"]]),
                "global": unit["z_global"],
                "local": unit["z_local"],
            }
            for match, feature in expected.items():
                found = extract(both, pictures, match, batch=5)
                assert found.shape == (len(pictures), len(feature))
                torch.testing.assert_close(found[n], feature, atol=1e-5, rtol=1e-4)


def test_the_main_stream_alone_gives_the_same_to_the_bit(pictures, small):
    both = network(small)
    assert torch.equal(extract(both, pictures), extract(both.main, pictures))


def test_a_network_left_in_training_mode_is_measured_as_it_will_be_used(pictures, small):
    both = network(small)
    assert torch.equal(extract(both.train(), pictures), extract(both.eval(), pictures))


@pytest.mark.parametrize("match", ["main", "fused"])
def test_flip_averages_with_the_mirror_image(pictures, small, match):
    """Images and DSAP are mirrored by hand, one at a time."""
    both = network(small).eval()
    table = mirror_table("fine", pictures.store.size)
    found = extract(both, pictures, match, batch=5, flip=True)
    with torch.no_grad():
        for n in range(3):
            seen = pictures.read([n])
            mirror = mirrored(seen.texels, seen.valid, torch.tensor([True]), table)
            sides = [
                both(SIZE.normalise(images), fill(texels, valid, SIZE))
                for images, texels, valid in ((seen.images, seen.texels, seen.valid), (seen.images.flip(2), *mirror))
            ]
            names = ("f_global", "f_local") if match == "main" else ("z_global", "z_local")
            means = [sum(getattr(side, name).flatten() for side in sides) / 2 for name in names]
            expected = torch.cat([F.normalize(mean, dim=0) for mean in means])
            torch.testing.assert_close(found[n], expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(found, extract(both, pictures, match), atol=1e-3)


def test_a_feature_that_is_not_a_number_names_its_image(pictures, small):
    both = network(small)
    with torch.no_grad():
        both.main.trunk.conv1.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=pictures.records[0].key):
        extract(both, pictures)


@pytest.mark.parametrize(
    ("heads", "match"), [("both", "main"), ("both", "fused"), ("local", "main"), ("both", "local")]
)
def test_lengths_are_those_of_the_features(pictures, small, heads, match):
    both = network(small, heads)
    assert sum(lengths(both, match).values()) == extract(both, pictures, match).shape[1]


def test_features_that_a_network_does_not_have(pictures, small):
    with pytest.raises(TrainingError, match="'fused' needs the guide"):
        extract(network(small, guide=False), pictures, "fused")
    with pytest.raises(TrainingError, match="'global' needs the guide"):
        extract(network(small).main, pictures, "global")
    with pytest.raises(TrainingError, match="needs a local head, and this network has only a global one"):
        extract(network(small, heads="global"), pictures, "local")


@pytest.mark.parametrize(("heads", "match"), [("global", "global"), ("local", "local"), ("local", "fused")])
def test_networks_with_heads_of_one_kind(pictures, small, heads, match):
    assert extract(network(small, heads), pictures, match).shape[0] == len(pictures)
