"""AutoAugment and RandAugment: torchvision's own images, part images and labels that stay consistent, no state."""

import dataclasses

import pytest
import torch
from torchvision.transforms import AutoAugment, RandAugment

from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_data.charts import NO_MAP
from dsa_train.batches import policy
from dsa_train.batches.augment import sample_augmentation
from dsa_train.batches.config import AugmentConfig
from dsa_train.batches.dataset import Batch
from dsa_train.batches.policy import MOVING, Operation, apply_operations, sample_operations

H, W, S = 48, 24, 3
RAND, AUTO = AugmentConfig(policy="randaugment"), AugmentConfig(policy="autoaugment")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(B, low=0, high=256, seed=0):
    return torch.randint(low, high, (B, H, W, 3), dtype=torch.uint8, generator=generator(seed))


def whole_batch(B, low=0, high=256):
    """Images whose part images are their first pixels, with labels of regions that are their red channel below 9."""
    images = random_images(B, low, high)
    texels = images.view(B, -1, 3)[:, : 24 * S * S].view(B, 24, S, S, 3).clone()
    valid = torch.rand(B, 24, S, S, generator=generator()) < 0.5
    return Batch(images, texels, valid, images[..., 0] % 9, images[..., 1].clone())


def by_torchvision(image, transform, record, monkeypatch):
    """Return what torchvision's transform makes of an image (H, W, 3), and the operations that it took."""
    taken = []
    apply = policy._apply_op

    def noted(image, name, magnitude, **options):
        taken.append(Operation(name, magnitude))
        return apply(image, name, magnitude, **options)

    monkeypatch.setattr("torchvision.transforms.autoaugment._apply_op", noted)
    torch.manual_seed(record)
    return transform(image.movedim(2, 0)).movedim(0, 2), tuple(taken)


@pytest.mark.parametrize("transform", [AutoAugment(), RandAugment(3, 14)], ids=["autoaugment", "randaugment"])
@pytest.mark.parametrize(("low", "high"), [(0, 256), (60, 180), (90, 91)], ids=["all values", "dull", "one value"])
def test_images_are_those_of_torchvisions_public_transform(transform, low, high, monkeypatch):
    images = random_images(60, low, high)
    expected, operations = zip(
        *(by_torchvision(image, transform, seed, monkeypatch) for seed, image in enumerate(images)), strict=True
    )
    assert len({name for own in operations for name, _ in own}) > 8
    assert torch.equal(apply_operations(Batch(images), operations).images, torch.stack(expected))


@pytest.mark.slow
@pytest.mark.parametrize(("config", "transform"), [(AUTO, AutoAugment()), (RAND, RandAugment())], ids=["auto", "rand"])
def test_operations_have_the_frequencies_of_torchvision(config, transform, monkeypatch):
    count = 1000
    image = torch.zeros(H, W, 3, dtype=torch.uint8)
    monkeypatch.setattr(policy, "_apply_op", lambda image, *_, **__: image)
    theirs = [one for seed in range(count) for one in by_torchvision(image, transform, seed, monkeypatch)[1]]
    ours = [one for own in sample_operations(count, H, W, config, generator()) for one in own]
    assert set(ours) == set(theirs), "the same operations, magnitudes and signs"
    for one in set(theirs):
        a, b = ours.count(one), theirs.count(one)
        assert abs(a - b) < 5 * (a + b) ** 0.5, one


def every_operation():
    found = sorted({one for own in sample_operations(4000, H, W, RAND, generator()) for one in own})
    return [*found, Operation("Invert", 0.0)]


@pytest.mark.parametrize("operation", every_operation(), ids=lambda one: f"{one.name} {one.magnitude:.2f}")
@pytest.mark.parametrize(("low", "high"), [(0, 256), (60, 180)])
def test_parts_change_as_pixels_do_and_labels_move_with_them(operation, low, high):
    batch = whole_batch(5, low, high)
    found = apply_operations(batch, ((operation,),) * 5)
    moved, sharpened = operation.name in MOVING, operation.name == "Sharpness"
    if moved or sharpened:
        assert torch.equal(found.texels, batch.texels), "texels stay on the body"
    else:
        pixels = found.images.reshape(5, -1, 3)[:, : 24 * S * S].view_as(found.texels)
        assert torch.equal(found.texels, pixels), "a texel has the colour of its pixel"
    if moved:
        # Pixels that came from the image's inside have the label of their source: their red channel below 9.
        inside = (found.images > 0).any(3)
        assert 0.5 < inside.float().mean() < 1
        assert torch.equal(found.regions[inside], found.images[inside][:, 0] % 9)
        if low:
            assert (found.regions[~inside] == 0).all(), "what comes in is background"
            assert (found.region_confidence[~inside] == 255).all(), "and surely so"
        assert torch.equal(found.region_confidence[inside], found.images[inside][:, 1])
    else:
        assert torch.equal(found.regions, batch.regions)
        assert torch.equal(found.region_confidence, batch.region_confidence)
    assert torch.equal(found.valid, batch.valid)


def test_an_image_without_a_map_has_no_label_after_a_move():
    batch = dataclasses.replace(whole_batch(2), regions=torch.full((2, H, W), NO_MAP, dtype=torch.uint8))
    assert (apply_operations(batch, ((Operation("Rotate", 30.0),),) * 2).regions == NO_MAP).all()


def test_each_image_has_its_own_operations_and_the_batch_is_left_alone():
    batch = whole_batch(12)
    before = batch.map(torch.Tensor.clone)
    operations = sample_operations(12, H, W, AugmentConfig(policy="randaugment", operations=3), generator(4))
    whole = apply_operations(batch, operations)
    for n in range(12):
        alone = apply_operations(batch.map(lambda tensor, n=n: tensor[n : n + 1]), operations[n : n + 1])
        for one, other in zip(alone.tensors(), whole.tensors(), strict=True):
            assert torch.equal(one[0], other[n])
    assert all(torch.equal(one, other) for one, other in zip(before.tensors(), batch.tensors(), strict=True))


def test_a_policy_is_sampled_after_all_other_numbers_and_cut_with_its_images():
    plain, rand = (sample_augmentation(8, H, W, config, generator(3), 0.5) for config in (AugmentConfig(), RAND))
    assert plain.operations is None
    for name in ("flip", "crop", "erased", "unguided"):
        assert torch.equal(getattr(plain, name), getattr(rand, name))
    assert rand.of(slice(2, 5)).operations == rand.operations[2:5]
    assert rand.to(torch.device("cpu")).operations == rand.operations


def test_the_share_of_images_that_are_changed_does_not_change_their_operations():
    some = AugmentConfig(policy="randaugment", policy_share=0.25)
    few, all_ = (sample_operations(1000, H, W, config, generator()) for config in (some, RAND))
    assert 200 < sum(map(bool, few)) < 300
    assert all(own in ((), whole) for own, whole in zip(few, all_, strict=True))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"policy_share": 0.5}, r"policy_share = 0\.5 needs policy = autoaugment or randaugment"),
        ({"policy": "autoaugment", "magnitude": 5}, "operations and magnitude are for policy = randaugment"),
        ({"operations": 3}, "operations and magnitude are for policy = randaugment"),
        ({"policy": "randaugment", "magnitude": 31}, "magnitude = 31 is invalid"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(values, words):
    with pytest.raises(ConfigError, match=words):
        build(AugmentConfig, values, "test")
