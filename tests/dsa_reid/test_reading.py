"""Crops read ahead by threads: in order, a bounded number ahead, and an error where it belongs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from dsa_reid import ModelError, Preprocessing
from dsa_reid.reading import AHEAD, batches

PREPROCESSING = Preprocessing(8, 4)


def crop(n: int) -> np.ndarray:
    return np.full((8, 4, 3), n, np.uint8)


@pytest.mark.parametrize("workers", [1, 3, None])
def test_the_order_is_kept_for_any_number_of_workers(workers: int | None) -> None:
    read = list(batches(map(crop, range(11)), PREPROCESSING, 4, workers))
    assert [len(batch) for batch in read] == [4, 4, 3]
    assert torch.cat(read)[:, 0, 0, 0].tolist() == list(range(11))


def test_the_number_of_crops_read_ahead_is_limited() -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(len(taken))
            yield crop(len(taken) % 256)

    stream = batches(endless(), PREPROCESSING, 5, 2)
    next(stream)
    assert len(taken) == 5 * (AHEAD + 1)
    stream.close()


def test_crops_before_a_broken_one_are_returned_first(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no")
    stream = batches([crop(0), crop(1), tmp_path / "broken.jpg", crop(3)], PREPROCESSING, 2, 2)
    assert len(next(stream)) == 2
    with pytest.raises(ModelError, match=r"broken\.jpg cannot be read"):
        next(stream)


def test_no_workers() -> None:
    with pytest.raises(ModelError, match="workers = 0"):
        next(batches([crop(0)], PREPROCESSING, 2, 0))
