import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.augment import (
    Augmentation,
    augment,
    crop_and_flip,
    erase,
    fill,
    mirror_table,
    mirrored,
    sample_augmentation,
)
from dsa_train.batches.config import AugmentConfig
from dsa_train.batches.dataset import Batch
from dsap.coarse import crop
from dsap.mirror import mirror, mirror_iuv
from dsap.warp import warp

H, W, S = 24, 12, 4
PLAIN = Preprocessing(H, W)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_images(B=5, seed=0):
    return torch.randint(0, 256, (B, H, W, 3), dtype=torch.uint8, generator=generator(seed))


def parts(B=5, seed=1):
    valid = torch.rand(B, 24, S, S, generator=generator(seed)) < 0.5
    texels = torch.randint(0, 256, (B, 24, S, S, 3), dtype=torch.uint8, generator=generator(seed))
    return texels * valid[..., None], valid


def still(B, pad=0):
    """The augmentation that leaves B images as they are."""
    return Augmentation(torch.zeros(B, dtype=torch.bool), torch.full((B, 2), pad), torch.zeros(B, 4, dtype=torch.int64))


def test_crop_is_a_window_of_the_padded_image():
    images, pad = random_images(), 3
    sampled = sample_augmentation(5, H, W, AugmentConfig(pad=pad, flip=0.5, erase=0), generator())
    moved = crop_and_flip(images, sampled, pad)
    for image, result, flipped, (top, left) in zip(images, moved, sampled.flip, sampled.crop, strict=True):
        padded = np.zeros((H + 2 * pad, W + 2 * pad, 3), np.uint8)
        padded[pad:-pad, pad:-pad] = image
        window = padded[top : top + H, left : left + W]
        np.testing.assert_array_equal(result, window[:, ::-1] if flipped else window)
    assert sampled.flip.any()
    assert not sampled.flip.all()


def test_without_augmentation_nothing_changes():
    texels, valid = parts()
    batch, none = Batch(random_images(), texels, valid), AugmentConfig(pad=0, flip=0, erase=0)
    images, guide = augment(batch, sample_augmentation(5, H, W, none, generator()), 0, mirror_table("fine", S), PLAIN)
    torch.testing.assert_close(images, PLAIN.normalise(batch.images))
    torch.testing.assert_close(guide, fill(texels, valid, PLAIN))


def test_erased_where_it_says_and_nowhere_else():
    config = AugmentConfig(erase=1)
    sampled = sample_augmentation(64, H, W, config, generator())
    erased = erase(torch.ones(64, 3, H, W), sampled) == 0
    for mask, (top, left, bottom, right) in zip(erased, sampled.erased.tolist(), strict=True):
        expected = torch.zeros(H, W, dtype=torch.bool)
        expected[top:bottom, left:right] = True
        assert (mask == expected).all()
        assert 0 <= top < bottom <= H
        assert 0 <= left < right <= W


def test_erasing_keeps_to_area_and_aspect():
    height, width = 256, 128
    top, left, bottom, right = (
        sample_augmentation(4000, height, width, AugmentConfig(erase=1), generator()).erased.double().unbind(1)
    )
    tall, wide = bottom - top, right - left
    share, aspect = tall * wide / (height * width), tall / wide
    assert 0.018 < share.min() < 0.025
    assert 0.38 < share.max() < 0.41
    assert 0.27 < aspect.min() < 0.35
    assert 3.1 < aspect.max() < 3.6


def test_probabilities_and_ranges():
    sampled = sample_augmentation(4000, 64, 32, AugmentConfig(), generator())
    assert 0.47 < sampled.flip.float().mean() < 0.53
    assert 0.47 < (sampled.erased[:, 2] > 0).float().mean() < 0.53
    assert set(sampled.crop.unique().tolist()) == set(range(21))


def test_a_flip_mirrors_the_dsap_by_the_rule_and_only_there():
    texels, valid = parts()
    flip = torch.tensor([True, False, True, False, True])
    result, mask = mirrored(texels, valid, flip, mirror_table("fine", S))
    for n in range(5):
        expected = mirror(texels[n].numpy(), valid[n].numpy()) if flip[n] else (texels[n], valid[n])
        np.testing.assert_array_equal(result[n], expected[0])
        np.testing.assert_array_equal(mask[n], expected[1])


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_mirrored_dsap_is_that_of_the_flipped_image(seed):
    """With a map that has no collisions, warp and flip commute, and so do crop and flip for coarse parts."""
    rng = np.random.default_rng(seed)
    size, picture = 8, rng.integers(0, 256, (20, 10, 3), dtype=np.uint8)
    iuv = np.zeros((20, 10, 3), np.uint8)
    cells = rng.permutation(24 * size * size)[:200].reshape(20, 10)
    iuv[..., 0] = cells // size**2 + 1
    u, v = cells // size % size, cells % size
    iuv[..., 1], iuv[..., 2] = (255 * (2 * u + 1)) // (2 * size), (255 * (2 * v + 1)) // (2 * size)
    flipped, flipped_iuv = np.ascontiguousarray(picture[:, ::-1]), mirror_iuv(iuv)
    yes = torch.tensor([True])
    texels, valid = (torch.from_numpy(one)[None] for one in warp(picture, iuv, size))
    result, mask = mirrored(texels, valid, yes, mirror_table("fine", size))
    expected, expected_mask = warp(flipped, flipped_iuv, size)
    np.testing.assert_array_equal(mask[0], expected_mask)
    np.testing.assert_array_equal(result[0], expected)


def test_coarse_parts_are_flipped_as_the_image_is():
    """A left upper arm (16) lighter at its right edge becomes a right upper arm (15) lighter at its left edge."""
    picture = np.tile(np.arange(0, 160, 10, dtype=np.uint8)[None, :, None], (8, 1, 3))
    iuv = np.zeros((8, 16, 3), np.uint8)
    iuv[2:6, 4:12, 0] = 16
    size = 4
    texels, valid = (torch.from_numpy(one)[None] for one in crop(picture, iuv, size))
    result, mask = mirrored(texels, valid, torch.tensor([True]), mirror_table("coarse", size))
    assert not mask[0, 15].any()
    assert mask[0, 14].all()
    np.testing.assert_array_equal(result[0, 14], texels[0, 15].flip(1))


def test_invalid_texels_are_exactly_the_mean():
    texels, valid = parts()
    filled = fill(texels, valid, PLAIN)
    assert filled.shape == (5, 24, 3, S, S)
    assert (filled.movedim(2, -1)[~valid] == 0).all()
    torch.testing.assert_close(filled[:, 7], PLAIN.normalise(texels[:, 7]) * valid[:, 7, None])


def test_pure_functions_of_the_generator_and_of_each_image():
    config = AugmentConfig(jitter=(0.3, 0.3, 0.3), drop_charts=0.3, policy="randaugment")
    one, same, other = (sample_augmentation(8, H, W, config, generator(seed), 0.5) for seed in (1, 1, 2))
    numbers = {name for name in vars(one) if name != "operations"}
    assert all(torch.equal(vars(one)[name], vars(same)[name]) for name in numbers)
    assert not torch.equal(one.crop, other.crop)
    assert one.operations == same.operations != other.operations
    table, batch = mirror_table("fine", S), Batch(random_images(8), *parts(8))
    whole = augment(batch, one, config.pad, table, PLAIN)
    for n in range(8):
        single = one.of(slice(n, n + 1))
        alone = augment(batch.map(lambda tensor, n=n: tensor[n : n + 1]), single, config.pad, table, PLAIN)
        assert torch.equal(alone[0][0], whole[0][n])
        assert torch.equal(alone[1][0], whole[1][n])


def test_images_without_dsap():
    images, guide = augment(Batch(random_images()), still(5), 0, mirror_table("fine", S), PLAIN)
    assert images.shape == (5, 3, H, W)
    assert guide is None


@pytest.mark.parametrize("size", [1, 2])
def test_tiny_images_are_spared_when_no_box_fits(size):
    config = dataclasses.replace(AugmentConfig(erase=1), erase_area=(0.0, 0.001))
    assert (sample_augmentation(10, size, size, config, generator()).erased == 0).all()


def test_without_jitter_no_more_numbers_are_sampled():
    plain, jittered = (
        sample_augmentation(8, H, W, AugmentConfig(jitter=j), generator()) for j in ((0, 0, 0), (0.1, 0, 0.2))
    )
    assert plain.colours is None
    assert torch.equal(plain.erased, jittered.erased)
    assert (jittered.colours[:, 1] == 1).all()
    assert ((jittered.colours - 1).abs().amax(0) <= torch.tensor([0.1, 0, 0.2])).all()


def test_a_dropped_chart_is_the_mean_and_all_else_is_as_it_was():
    """Also where the image was flipped: it is the chart that the guide would have been shown."""
    batch, table = Batch(random_images(5), *parts(5)), mirror_table("fine", S)
    flipped = torch.tensor([True, False, True, False, True])
    drawn = dataclasses.replace(still(5), flip=flipped)
    dropped = torch.zeros(5, 24, dtype=torch.bool)
    dropped[0, 6] = dropped[1, 23] = True
    images, whole = augment(batch, drawn, 0, table, PLAIN)
    same, less = augment(batch, dataclasses.replace(drawn, dropped=dropped), 0, table, PLAIN)
    assert torch.equal(images, same)
    assert (less[0, 6] == 0).all()
    assert (less[1, 23] == 0).all()
    assert whole[0, 6].any()
    assert torch.equal(less[~dropped], whole[~dropped])


def test_charts_are_dropped_at_the_asked_rate_and_other_numbers_stay():
    plain, dropping = (sample_augmentation(400, H, W, AugmentConfig(drop_charts=p), generator()) for p in (0, 0.3))
    assert plain.dropped is None
    assert torch.equal(plain.erased, dropping.erased)
    assert torch.equal(plain.crop, dropping.crop)
    assert dropping.dropped.shape == (400, 24)
    assert abs(dropping.dropped.double().mean() - 0.3) < 0.02
