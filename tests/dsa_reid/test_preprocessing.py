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


def test_a_colour_gives_the_same_bits_at_every_position() -> None:
    colours = torch.arange(256, dtype=torch.uint8)[:, None].expand(256, 3)
    strip = colours.view(1, 1, 256, 3)
    whole = Preprocessing().normalise(strip)[0, :, 0].T  # (256, 3)
    alone = Preprocessing().normalise(strip.view(256, 1, 1, 3))[:, :, 0, 0]
    shifted = Preprocessing().normalise(strip[:, :, 3:])[0, :, 0].T
    assert torch.equal(whole, alone)
    assert torch.equal(whole[3:], shifted)
    mean, std = (torch.tensor(value, dtype=torch.float64) for value in (Preprocessing().mean, Preprocessing().std))
    torch.testing.assert_close(whole.double(), (colours / 255.0 - mean) / std, atol=1e-6, rtol=0)


def test_resized_as_by_pil() -> None:
    rng = np.random.default_rng(0)
    for height, width in [(40, 20), (10, 7), (33, 64)]:
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        ours = Preprocessing(24, 16).resize(torch.from_numpy(image)).numpy()
        theirs = np.asarray(Image.fromarray(image).resize((16, 24), Image.Resampling.BILINEAR))
        assert ours.shape == (24, 16, 3)
        assert np.abs(ours.astype(int) - theirs.astype(int)).max() <= 1


def test_an_image_of_the_size_is_returned_unchanged() -> None:
    image = torch.randint(0, 256, (24, 16, 3), dtype=torch.uint8)
    assert Preprocessing(24, 16).resize(image) is image
