"""Contact sheets: the position of each image, and an identity in each row."""

from pathlib import Path

import numpy as np
import pytest

from dsa_app.errors import DatasetError, ImageError
from dsa_data import sets
from dsa_data.sheet import CAPTION, fitting, identity_sheet, sheet


def filled(value: int, height: int = 20, width: int = 10) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_images_are_in_rows() -> None:
    page = sheet([("", filled(value)) for value in (10, 20, 30)], columns=2, height=20)
    assert page.shape == (2 * 24, 2 * 14, 3)
    assert (page[:20, :10] == 10).all()
    assert (page[:20, 14:24] == 20).all()
    assert (page[24:44, :10] == 30).all()
    assert (page[24:44, 14:] == 255).all()


def test_captions_are_above_their_images() -> None:
    page = sheet([("12", filled(200)), ("", filled(90, 40, 20))], columns=2, height=20)
    assert page.shape == (24 + CAPTION, 28, 3)
    assert (page[:CAPTION, :14] < 250).any()
    assert (page[CAPTION : CAPTION + 20, 14:24] == 90).all()


def test_captions_may_have_lines() -> None:
    page = sheet([("1\n2", filled(200)), ("3", filled(90))], columns=2, height=20)
    assert page.shape[0] == 24 + 2 * CAPTION
    assert (page[:CAPTION, :14] < 250).any()
    assert (page[:CAPTION, 14:] == 255).all(), "the last line is next to the image"
    assert (page[CAPTION : 2 * CAPTION, 14:] < 250).any()
    assert (page[2 * CAPTION : 2 * CAPTION + 20, :10] == 200).all()


def test_a_long_name_keeps_its_end() -> None:
    assert fitting("a/b.jpg", 500) == "a/b.jpg"
    shown = fitting("bounding_box_train/0138_c2s1_000559_01.jpg", 150)
    assert shown.startswith("...")
    assert shown.endswith("000559_01.jpg")
    assert fitting("abc", 1) == "c"


def test_every_row_is_one_identity(market: Path) -> None:
    entries = sets.scan("market1501", market)
    page = identity_sheet(market, entries, identities=4, seed=1, images=3)
    cell = 192 + CAPTION + 4
    assert page.shape[0] == 4 * cell
    again = identity_sheet(market, list(reversed(entries)), identities=4, seed=1, images=3)
    np.testing.assert_array_equal(page, again)
    everyone = identity_sheet(market, entries, identities=50, images=3)
    assert everyone.shape[0] == 6 * cell  # the dataset has six, and the distractor is not one


def test_a_dataset_without_identities_is_refused(market: Path) -> None:
    distractors = [entry for entry in sets.scan("market1501", market) if entry.pid == 0]
    with pytest.raises(DatasetError, match="no image of an identity"):
        identity_sheet(market, distractors)


def test_an_image_that_does_not_decode_is_named(market: Path) -> None:
    entries = [entry for entry in sets.scan("market1501", market) if entry.pid == 7]
    (market / entries[0].key).write_bytes(b"no JPEG")
    with pytest.raises(ImageError, match="does not decode"):
        identity_sheet(market, entries)
