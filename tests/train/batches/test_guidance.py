import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_train.batches.config import GuidanceConfig
from dsa_train.batches.dataset import Batch
from dsa_train.batches.guidance import guide_weight, of_another_identity, with_shown_parts
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream

MAIN = {"trunk": "resnet18", "width": 0.125}


def batch(B: int) -> Batch:
    texels = torch.arange(B, dtype=torch.uint8).view(B, 1, 1, 1, 1).expand(B, 24, 2, 2, 3)
    return Batch(torch.zeros(B, 4, 2, 3, dtype=torch.uint8), texels.clone(), torch.ones(B, 24, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize(("P", "K"), [(2, 4), (5, 4), (16, 4), (3, 1)])
def test_every_image_gets_one_of_another_identity_and_none_is_taken_twice(P, K):
    found = of_another_identity(P, K)
    assert sorted(found) == list(range(P * K))
    assert all(index // K != taken // K for index, taken in enumerate(found))
    owners = {tuple(taken // K for taken in found[p * K : (p + 1) * K]) for p in range(P)}
    assert all(len(set(owner)) == min(K, P - 1) for owner in owners)


def test_one_identity_alone_is_refused():
    with pytest.raises(TrainingError, match="two identities"):
        of_another_identity(1, 4)


def test_what_is_shown():
    own = batch(8)
    assert with_shown_parts(own, "own", 4) is own
    nothing = with_shown_parts(own, "nothing", 4)
    assert not nothing.valid.any()
    assert torch.equal(nothing.images, own.images)
    swapped = with_shown_parts(own, "another", 4)
    assert swapped.texels[:, 0, 0, 0, 0].tolist() == of_another_identity(2, 4)
    images = Batch(own.images)
    assert with_shown_parts(images, "another", 4) is images


def test_weight_fades_linearly():
    faded = GuidanceConfig(fade=(2, 6))
    assert [guide_weight(epoch, faded) for epoch in range(8)] == [1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    assert guide_weight(99, GuidanceConfig()) == 1
    with pytest.raises(ValueError, match="ends before it begins"):
        GuidanceConfig(fade=(4, 4))


def test_at_weight_zero_the_sum_is_the_main_streams_feature():
    torch.manual_seed(0)
    network = TwoStream(NetworkConfig(main=MAIN, weights="none", classifier_width=8), 3).eval()
    images, parts = torch.rand(2, 3, 64, 32), torch.rand(2, 24, 3, 8, 8)
    guided = network(images, parts)
    assert not torch.equal(guided.z_local, guided.f_local)
    network.guide_weight.fill_(0)
    faded = network(images, parts)
    assert torch.equal(faded.z_local, faded.f_local)
    assert torch.equal(faded.z_global, faded.f_global)


def test_doubled_has_the_guides_losses_and_no_guide():
    torch.manual_seed(0)
    network = TwoStream(NetworkConfig(main=MAIN, weights="none", guide=False, doubled=True), 3).eval()
    found = network(torch.rand(2, 3, 64, 32))
    assert network.guide is None
    assert len(found.logits) == 11
    assert torch.equal(found.z_global, found.f_global)


@pytest.mark.parametrize(
    ("settings", "says"), [({"apart": True, "guide": False}, "needs a guide"), ({"doubled": True}, "without a guide")]
)
def test_contradictions_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        NetworkConfig(main=MAIN, **settings)


def test_parts_of_one_seed_are_the_same_whatever_else_a_network_has():
    def weights(**settings):
        torch.manual_seed(3)
        return TwoStream(NetworkConfig(weights="none", **settings), 3).state_dict()

    whole = weights(main=MAIN)
    for settings in (
        {"main": MAIN, "guide": False},
        {"main": MAIN | {"heads": "local"}},
        {"main": MAIN | {"heads": "global"}, "guide": False},
        {"main": MAIN, "guide": False, "doubled": True},
        {"main": MAIN, "fusion": "concat"},
    ):
        other = weights(**settings)
        common = [name for name in whole if name in other and whole[name].shape == other[name].shape]
        assert len(common) > 50
        assert all(torch.equal(whole[name], other[name]) for name in common)
    torch.manual_seed(3)
    first, second = (TwoStream(NetworkConfig(main=MAIN, weights="none"), 3).state_dict() for _ in range(2))
    assert not torch.equal(first["main.trunk.conv1.weight"], second["main.trunk.conv1.weight"])
