"""Figures: the mean by hand, and the contents of every figure."""

import numpy as np
import pytest

from dsa_app.errors import DatasetError
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore
from dsap.config import WarpConfig
from dsap.layout import CAPTION, MARGIN, body
from dsap.show import Page, average, fullest
from dsap.stage import build
from dsap.warp import warp
from dsap_cases import Case


@pytest.fixture
def page(case: Case) -> Page:
    build(case.manifest, case.iuv, case.out, WarpConfig(size=8), case.root)
    return Page(case.root, IuvStore(case.iuv), DsapStore(case.out))


def shows(page: np.ndarray, figures: np.ndarray) -> bool:
    """Return whether `figures` are on `page` below two titles, at the right margin."""
    height, width = figures.shape[:2]
    y, x = MARGIN + 2 * CAPTION, page.shape[1] - MARGIN - width
    return bool((page[y : y + height, x : x + width] == figures).all())


def test_average_by_hand() -> None:
    texels, valid = np.zeros((3, 24, 2, 2, 3), np.uint8), np.zeros((3, 24, 2, 2), bool)
    texels[0, 4, 1, 0], valid[0, 4, 1, 0] = 10, True
    texels[2, 4, 1, 0], valid[2, 4, 1, 0] = 21, True
    texels[1, 5, 0, 0], valid[1, 5, 0, 0] = 255, True
    mean, ever = average(list(zip(texels, valid, strict=True)))
    assert mean[4, 1, 0].tolist() == [16, 16, 16]  # of the two that are valid, half rounded up
    assert mean[5, 0, 0].tolist() == [255, 255, 255]
    assert ever.sum() == 2
    assert mean.sum() == 3 * (16 + 255)


def test_the_page_of_an_image_shows_its_parts(page: Page, case: Case) -> None:
    key = fullest(page.store)
    texels, valid = page.store.read(page.store.index(key))
    assert shows(page.image(key), body(texels, valid, "synthetic"))
    compared = page.image(key, compare=True)
    fine = warp(images.read(case.root / key), page.iuv.read(page.iuv.index(key)).iuv, 8)
    assert shows(compared, body(*fine, "synthetic"))
    assert compared.shape[0] > page.image(key).shape[0]


def test_the_page_of_an_identity_shows_the_mean(page: Page, case: Case) -> None:
    records = read_manifest(case.manifest)
    keys = [record.key for record in records if record.pid == 7]
    assert len(keys) == 2
    parts = [page.store.read(page.store.index(key)) for key in keys]
    assert shows(page.mean(7, records), body(*average(parts), "synthetic"))


def test_coarse_parts_are_oriented_as_in_the_image(case: Case) -> None:
    build(case.manifest, case.iuv, case.out, WarpConfig(size=8, parts="coarse"), case.root)
    page = Page(case.root, IuvStore(case.iuv), DsapStore(case.out))
    key = fullest(page.store)
    assert shows(page.image(key), body(*page.store.read(page.store.index(key)), "none"))


def test_an_unknown_image_or_identity(page: Page, case: Case) -> None:
    with pytest.raises(DatasetError, match="no image of identity 4711"):
        page.mean(4711, read_manifest(case.manifest))
    with pytest.raises(DatasetError, match=r"no image query/none\.jpg"):
        page.image("query/none.jpg")
