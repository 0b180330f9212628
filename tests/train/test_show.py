import numpy as np
import torch

from dsa_reid.preprocessing import Preprocessing
from train.augment import fill
from train.show import draw_batch

SIZE = Preprocessing(48, 24)


def test_pictures_and_parts_are_seen_as_they_are():
    images = torch.randint(0, 256, (4, 48, 24, 3), dtype=torch.uint8)
    texels = torch.randint(0, 256, (4, 24, 8, 8, 3), dtype=torch.uint8)
    valid = torch.ones(4, 24, 8, 8, dtype=torch.bool)
    valid[:, 23] = False
    page = draw_batch(SIZE.normalise(images), fill(texels, valid, SIZE), list("abcd"), SIZE, columns=2)
    cell, (top, left) = 32, (6 + 20, 6)
    tile_height, tile_width = 6 * cell + top, 6 * cell // 2 + 2 + 4 * cell + 2 + left
    assert page.shape == (2 * tile_height, 2 * tile_width, 3)
    assert page.dtype == np.uint8
    shown = page[tile_height + top :, tile_width + left :]  # the fourth tile
    np.testing.assert_array_equal(shown[2 : 6 * cell : 4, 2 : 3 * cell : 4], images[3])
    grid = shown[:, 3 * cell + 2 :]
    np.testing.assert_array_equal(grid[cell + 2 : 2 * cell : 4, 2 * cell + 2 : 3 * cell : 4], texels[3, 6])
    mean = np.round(np.array(SIZE.mean) * 255)
    assert (grid[5 * cell : 6 * cell, 3 * cell : 4 * cell] == mean).all()


def test_pictures_alone():
    page = draw_batch(torch.zeros(3, 3, 48, 24), None, list("abc"), SIZE, columns=3)
    assert page.shape == (6 * 32 + 26, 3 * (96 + 2 + 6), 3)
