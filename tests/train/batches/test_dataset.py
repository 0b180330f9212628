import dataclasses
import re

import numpy as np
import pytest
import torch

from dsa_app.errors import ImageError, StoreError
from dsa_data.images import read
from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.dataset import GIB, Images, memory_limit, number_identities

SIZE = Preprocessing(height=64, width=32)


def load(tiny, **changes):
    arguments = {"root": tiny.root, "records": tiny.records("train"), "preprocessing": SIZE, "store": tiny.store()}
    return Images(**{**arguments, **changes})


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.tensors(), other.tensors(), strict=True))


def test_reads_what_lies_on_disk(tiny):
    images = load(tiny)
    batch = images.read([3, 0, 3])
    record = images.records[3]
    expected = SIZE.resize(torch.from_numpy(read(tiny.root / record.key)))
    assert torch.equal(batch.images[0], expected)
    assert torch.equal(batch.images[2], expected)
    texels, valid = tiny.store().read(tiny.store().index(record.key))
    np.testing.assert_array_equal(batch.texels[0], texels)
    np.testing.assert_array_equal(batch.valid[0], valid)
    assert batch.images.dtype == batch.texels.dtype == torch.uint8


def test_memory_and_disk_give_the_same_batches(tiny):
    kept, disk = load(tiny), load(tiny)
    assert kept.load_into_memory(kept.bytes, workers=2)
    assert not disk.load_into_memory(disk.bytes - 1, workers=2)
    order = torch.randint(0, len(kept), (9, 4)).tolist()
    for ours, theirs in zip(kept.batches(order, 1), disk.batches(order, 3), strict=True):
        assert same(ours, theirs)


def test_size_is_counted_before_reading(tiny):
    images = load(tiny)
    batch = images.read(range(len(images)))
    assert images.bytes == sum(tensor.numel() for tensor in batch.tensors())


def test_batches_come_in_order_and_can_be_left_early(tiny):
    images = load(tiny)
    order = [[n] for n in range(len(images))]
    for n, batch in enumerate(images.batches(order, workers=3)):
        assert same(batch, images.read([n]))
        if n == 4:
            break


def test_images_without_dsap(tiny):
    batch = load(tiny, store=None).read([1])
    assert (batch.texels, batch.valid) == (None, None)
    assert len(batch) == 1


def test_a_store_without_an_image_or_with_another_is_refused(tiny):
    first, *rest = tiny.records("train")
    with pytest.raises(StoreError, match=r"does not contain elsewhere/0001\.png"):
        load(tiny, records=[dataclasses.replace(first, key="elsewhere/0001.png"), *rest])
    with pytest.raises(StoreError, match=f"built from another file {re.escape(first.key)}"):
        load(tiny, records=[dataclasses.replace(first, digest="0" * 64), *rest])


@pytest.mark.parametrize("workers", [1, 3])
def test_a_missing_image_is_named(tiny, workers):
    first, *rest = tiny.records("train")
    images = load(tiny, records=[*rest, dataclasses.replace(first, key="elsewhere/0001.png")], store=None)
    with pytest.raises(ImageError, match=r"elsewhere/0001\.png is missing"):
        images.load_into_memory(GIB, workers)


def test_an_image_that_has_changed_is_named(tiny):
    first, *rest = tiny.records("train")
    images = load(tiny, records=[*rest, dataclasses.replace(first, digest="0" * 64)], store=None)
    with pytest.raises(ImageError, match=f"{re.escape(first.key)} has changed since it was listed.*dsa-data prepare"):
        images.read([len(rest)])


def test_identities_are_numbered_in_ascending_order():
    assert number_identities([40, 7, 40, 11]).tolist() == [2, 0, 2, 1]


def test_memory_limit():
    assert memory_limit(2) == 2 * GIB
    assert memory_limit(None) > 0
