"""The appearance of a person: a function of the surface, with patterns and marks of the right size."""

from dataclasses import replace

import numpy as np
import pytest

from dsa_data.synthetic.appearance import SIZE, Bag, Garment, Mark, texture
from dsa_data.synthetic.people import sample_person


def test_appearance_is_a_function_of_the_surface() -> None:
    generator = np.random.default_rng(3)
    person = sample_person(generator, generator, 5, (5, 9))
    size = 8
    whole = texture(person.appearance, size)
    chart, row, column = 2, 3, 5
    u, v = (row + 0.5) / size, (column + 0.5) / size
    alone = person.appearance.albedo(np.array([chart]), np.array([u]), np.array([v]))
    assert whole.shape == (24, size, size, 3)
    np.testing.assert_array_equal(whole[chart - 1, row, column], np.rint(255 * alone[0]))


def test_a_mark_has_its_size() -> None:
    mark = Mark(2, 0.5, 0.5, 10.0, "disc", (1.0, 0.0, 0.0))
    size = 400
    middle = (np.arange(size) + 0.5) / size
    u, v = (grid.ravel() for grid in np.meshgrid(middle, middle, indexing="ij"))
    colours = np.zeros((size * size, 3), np.float32)
    mark.paint(colours, np.full(size * size, 2), u, v)
    length, width = SIZE[2]
    area = (colours[:, 0] > 0).mean() * length * width  # square centimetres
    assert area == pytest.approx(np.pi * 5**2, rel=0.02)


def test_hoops_repeat_with_their_period() -> None:
    garment = Garment((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "hoops", period=SIZE[2, 0] / 4)
    u = (np.arange(8) + 0.5) / 8
    white = garment.colours(np.full(8, 2), u, np.full(8, 0.5))[:, 0]
    assert white.tolist() == [1, 0] * 4


def test_bands_of_a_bag_repeat_with_their_period() -> None:
    bag = Bag((1, 0, 0), (0, 0, 1), period=20)
    along = np.array([1, 9, 11, 19, 21]) / 68
    local = np.stack([np.zeros(5), along, np.zeros(5)], axis=1)
    assert bag.colours(local)[:, 2].tolist() == [1, 1, 0, 0, 1]
    upright = replace(bag, slant=np.pi / 2)
    local = np.stack([np.array([1, 9, 11, 19, 21]) / 100, along * 0, np.zeros(5)], axis=1)
    assert upright.colours(local)[:, 0].tolist() == [0, 0, 1, 1, 0]
    assert upright.colours(local).dtype == np.float32
