"""The resize as arithmetic: the whole numbers of torch's, on images of every size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_reid import Preprocessing
from dsa_reid.graph_resize import Resize


def both(height: int, width: int, image: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an image resized by arithmetic and by torch, each (3, height, width)."""
    stored = torch.from_numpy(image)
    theirs = Preprocessing(height, width).resize(stored).permute(2, 0, 1).float()
    return Resize(height, width)(stored[None])[0], theirs


def test_by_hand() -> None:
    """Four columns to two: weights 3/8, 3/8, 1/8 at the edge, where a fourth would be outside, made up to one."""
    image = np.array([[[0] * 3, [70] * 3, [140] * 3, [210] * 3]], np.uint8)
    ours, _ = both(1, 2, image)
    left = (3 * 0 + 3 * 70 + 1 * 140) / 7
    assert ours[0, 0].tolist() == [round(left), round((1 * 70 + 3 * 140 + 3 * 210) / 7)]


@pytest.mark.parametrize("wanted", [(256, 128), (64, 32), (384, 128), (17, 9)])
@pytest.mark.parametrize(
    "stored", [(160, 60), (128, 64), (64, 32), (33, 21), (37, 500), (7, 5), (1, 1), (2, 3), (480, 640)]
)
def test_to_the_bit(stored: tuple[int, int], wanted: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*stored, 3), dtype=np.uint8)
    ours, theirs = both(*wanted, image)
    assert torch.equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**20))
def test_nearly_always_to_the_bit(height: int, width: int, to_height: int, to_width: int, seed: int) -> None:
    """Where a weight lies at a half between two whole numbers, one of them may be taken here and the other there."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    ours, theirs = both(to_height, to_width, image)
    assert (ours - theirs).abs().max() <= 1
    assert (ours != theirs).float().mean() < 1e-3


def test_black_and_white_stay() -> None:
    for value in (0, 255):
        ours, _ = both(31, 17, np.full((40, 60, 3), value, np.uint8))
        assert (ours == value).all()


def test_a_batch_is_its_images() -> None:
    images = torch.randint(0, 256, (3, 40, 30, 3), dtype=torch.uint8)
    resize = Resize(16, 8)
    assert torch.equal(resize(images), torch.cat([resize(image[None]) for image in images]))
