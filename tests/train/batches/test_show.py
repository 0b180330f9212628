import numpy as np
import torch

from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.augment import fill
from dsa_train.batches.show import render_batch

SIZE = Preprocessing(48, 24)


def test_images_and_parts_are_seen_as_they_are():
    images = torch.randint(0, 256, (4, 48, 24, 3), dtype=torch.uint8)
    texels = torch.randint(0, 256, (4, 24, 8, 8, 3), dtype=torch.uint8)
    valid = torch.ones(4, 24, 8, 8, dtype=torch.bool)
    valid[:, 23] = False
    page = render_batch(SIZE.normalise(images), fill(texels, valid, SIZE), list("abcd"), SIZE, columns=2)
    cell, (top, left) = 33, (6 + 20, 6)  # a part image with its line, what is above and left of a tile
    tile_height, tile_width = 6 * cell + top, 3 * cell + 2 + 4 * cell + 2 + left
    legend = page[2 * tile_height :]
    assert page.shape[1:] == (2 * tile_width, 3)
    assert len(legend) > 18
    assert legend.min() < 100, "the names of the charts"
    assert page.dtype == np.uint8
    page = page[: 2 * tile_height]
    shown = page[tile_height + top :, tile_width + left :]  # the fourth tile
    y, x = (torch.arange(length * cell) * size // (length * cell) for length, size in ((6, 48), (3, 24)))
    np.testing.assert_array_equal(shown[:, : 3 * cell], images[3][y][:, x])
    grid = shown[:, 3 * cell + 2 :]
    np.testing.assert_array_equal(grid[cell + 3 : 2 * cell : 4, 2 * cell + 3 : 3 * cell : 4], texels[3, 6])
    mean = np.round(np.array(SIZE.mean) * 255)
    assert (grid[5 * cell + 1 :, 3 * cell + 1 : 4 * cell] == mean).all()


def test_an_image_without_a_valid_texel_has_a_note():
    parts = torch.zeros(2, 24, 3, 8, 8)
    parts[1, 0, 0, 0, 0] = 1
    page = render_batch(torch.zeros(2, 3, 48, 24), parts, list("ab"), SIZE, columns=2)
    side = 6 + 3 * 33 + 2 + 4 * 33 + 2  # a tile
    first, second = (page[26 : 26 + 6 * 33, at + 6 + 3 * 33 + 2 : at + side - 2] for at in (0, side))
    background = (first == (235, 235, 240)).all(-1).mean()
    assert 0.7 < background < 1, "a note on a plain ground, and no grid"
    mean = np.round(np.array(SIZE.mean) * 255)
    assert (second == mean).all(-1).mean() > 0.8


def test_images_without_parts():
    page = render_batch(torch.zeros(3, 3, 48, 24), None, list("abc"), SIZE, columns=3)
    assert page.shape == (6 * 33 + 26, 3 * (99 + 2 + 6), 3)
