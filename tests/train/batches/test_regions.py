"""Labels of regions: nearest pixels, moved with the image, those of other people, and their mean."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import StoreError, TrainingError
from dsa_data.charts import BODY_REGIONS, NO_MAP
from dsa_data.stores.dsap import DsapStore
from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.augment import Augmentation, crop_and_flip, erase, sample_augmentation
from dsa_train.batches.config import AugmentConfig
from dsa_train.batches.dataset import Batch, Images, region_image
from dsa_train.batches.feed import generator
from dsa_train.batches.regions import mean_label_maps, moved, of_other_people

H, W = 24, 12


def test_the_nearest_chart_of_every_pixel_becomes_its_region() -> None:
    charts = np.array([[0, 1, 2], [3, 23, 255]], np.uint8)
    names = list(BODY_REGIONS)
    torso, hands, head = (names.index(name) + 1 for name in ("torso", "hands", "head"))
    assert region_image(charts, 2, 3).tolist() == [[0, torso, torso], [hands, head, NO_MAP]]
    assert region_image(charts, 4, 3)[:, 0].tolist() == [0, 0, hands, hands]
    assert region_image(charts, 1, 1).tolist() == [[head]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_labels_move_as_an_image_whose_red_channel_they_are(seed: int) -> None:
    """The image is its own label: after crop, flip and erasing both still agree, pixel by pixel."""
    B, pad = 6, 3
    config = AugmentConfig(pad=pad, flip=0.5, erase=0.7)
    regions = torch.randint(0, 9, (B, H, W), generator=generator(seed, "labels"), dtype=torch.uint8)
    images = torch.stack([regions, *torch.zeros(2, B, H, W, dtype=torch.uint8)], dim=3)
    sampled = sample_augmentation(B, H, W, config, generator(seed, "augment"))
    seen = crop_and_flip(images, sampled, pad).movedim(3, 1).float()  # padding is black: background
    assert torch.equal(erase(seen, sampled)[:, 0], moved(regions, sampled, pad).float())


def test_an_image_without_a_map_has_no_label_anywhere() -> None:
    regions = torch.full((2, H, W), NO_MAP, dtype=torch.uint8)
    regions[1, :3] = 4
    sampled = Augmentation(
        torch.tensor([True, True]), torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[0, 0, 9, 9], [0, 0, 2, 2]])
    )
    result = moved(regions, sampled, pad=2)
    assert (result[0] == NO_MAP).all()
    assert (result[1, :2] == 0).all(), "padding"
    assert (result[1, 2:5, :-2] == 4).all()


@settings(max_examples=50, deadline=None)
@given(counts=st.lists(st.integers(1, 6), min_size=2, max_size=12), seed=st.integers(0, 100))
def test_labels_of_others_are_an_order_of_all_images(counts: list[int], seed: int) -> None:
    pids = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    pids = pids[torch.randperm(len(pids), generator=generator(seed))]
    if 2 * max(counts) > len(pids):
        with pytest.raises(TrainingError, match="more than half of all"):
            of_other_people(pids, generator(seed, "a"))
        return
    others = of_other_people(pids, generator(seed, "a"))
    assert sorted(others.tolist()) == list(range(len(pids)))
    assert (pids[others] != pids).all()
    assert torch.equal(others, of_other_people(pids, generator(seed, "a")))


def read(tiny, regions_of=None, **changes) -> Images:
    records = tiny.records("train")
    regions_of = list(range(len(records))) if regions_of is None else regions_of
    return Images(tiny.root, records, Preprocessing(H, W), tiny.store(), regions_of=regions_of, **changes)


def test_batches_carry_labels_from_disk_and_from_memory(tiny) -> None:
    images = read(tiny, parts=False)
    before = images.read([4, 0, 3])
    assert before.texels is None
    assert before.regions.shape == (3, H, W)
    assert before.regions.dtype == torch.uint8
    store = tiny.store()
    expected = region_image(store.read_charts(store.index(images.records[4].key)), H, W)
    assert torch.equal(before.regions[0], expected)
    assert (before.regions[2] == NO_MAP).all(), "no person was detected in this one"
    assert images.load_into_memory(1e9, workers=1)
    after = images.read([4, 0, 3])
    assert torch.equal(after.images, before.images)
    assert torch.equal(after.regions, before.regions)
    assert torch.equal(images.read_regions([4, 0, 3]), before.regions)
    assert images.bytes == len(images) * H * W * 4


def test_labels_of_others_are_of_other_images_and_parts_stay(tiny) -> None:
    own = read(tiny)
    N = len(own)
    other = read(tiny, regions_of=[(n + 5) % N for n in range(N)])
    one, two = own.read(range(N)), other.read(range(N))
    assert torch.equal(one.texels, two.texels)
    assert torch.equal(two.regions, one.regions.roll(-5, 0))


def test_a_store_of_version_1_has_no_labels(tiny, monkeypatch) -> None:
    monkeypatch.setattr(DsapStore, "read_charts", _old)
    with pytest.raises(StoreError, match="no chart images"):
        read(tiny).read([0])


def _old(store, index):
    raise StoreError("no chart images")


def test_the_mean_label_map_leaves_out_images_without_a_map(tiny) -> None:
    images = read(tiny, parts=False)
    (mean, fine) = mean_label_maps(images, [(3, 2), (6, 4)])
    assert mean.shape == (9, 3, 2)
    assert fine.shape == (9, 6, 4)
    torch.testing.assert_close(mean.sum(0), torch.ones(3, 2))
    torch.testing.assert_close(mean, mean.flip(2))
    regions = images.read(range(len(images))).regions
    known = (regions != NO_MAP).flatten(1).all(1)
    assert int(known.sum()) == len(images) - 1
    share = (regions[known] == 1).float().mean(0)[:8, :6].mean()
    torch.testing.assert_close(mean[1, 0, 0], (share + (regions[known] == 1).float().mean(0)[:8, 6:].mean()) / 2)


def test_without_any_map_there_is_nothing_to_learn_from(tiny, monkeypatch) -> None:
    monkeypatch.setattr(DsapStore, "read_charts", lambda store, index: np.full((5, 5), NO_MAP, np.uint8))
    with pytest.raises(TrainingError, match="No training image has a map of the body"):
        mean_label_maps(read(tiny), [(3, 2)])


def test_a_batch_maps_what_it_has() -> None:
    batch = Batch(torch.zeros(2, 3, 2, 3), regions=torch.ones(2, 3, 2))
    doubled = batch.map(lambda tensor: tensor + 1)
    assert (doubled.regions == 2).all()
    assert doubled.texels is None
    assert len(dataclasses.replace(batch, regions=None).tensors()) == 1
