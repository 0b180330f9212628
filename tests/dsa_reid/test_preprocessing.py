"""Resizing and normalising."""

import numpy as np
import torch
from PIL import Image

from dsa_reid import Preprocessing


def test_normalised_by_hand() -> None:
    images = torch.tensor([[[[255, 0, 128]]]], dtype=torch.uint8)
    x = Preprocessing(1, 1).normalise(images)
    expected = [(1 - 0.485) / 0.229, (0 - 0.456) / 0.224, (128 / 255 - 0.406) / 0.225]
    torch.testing.assert_close(x, torch.tensor(expected).view(1, 3, 1, 1))


def test_resized_as_pil_does_it() -> None:
    rng = np.random.default_rng(0)
    for height, width in [(40, 20), (10, 7), (33, 64)]:
        picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        ours = Preprocessing(24, 16).resize(torch.from_numpy(picture)).numpy()
        theirs = np.asarray(Image.fromarray(picture).resize((16, 24), Image.Resampling.BILINEAR))
        assert ours.shape == (24, 16, 3)
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_a_picture_of_the_size_is_not_touched() -> None:
    picture = torch.randint(0, 256, (24, 16, 3), dtype=torch.uint8)
    assert Preprocessing(24, 16).resize(picture) is picture
