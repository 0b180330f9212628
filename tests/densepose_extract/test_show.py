"""Figures: colours of charts, panels of every image, errors that name what does not fit."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from densepose_extract import overlay, show, stage
from densepose_extract.engines.rendered import Rendered
from dsa_app.errors import ImageError, StoreError
from dsa_data import images
from dsa_data.palette import chart_colours
from dsa_data.stores.iuv import IuvMap, IuvStore
from tiny import list_images, random_iuv, write_true_maps


@pytest.fixture
def store(market: Path, tmp_path: Path) -> IuvStore:
    write_true_maps(market)
    manifest = list_images(market, tmp_path / "manifest.csv")
    return IuvStore(stage.extract(manifest, market, tmp_path / "iuv.h5", "tiny", Rendered(market)).path)


def test_overlays_change_body_pixels_only() -> None:
    iuv, image = random_iuv(12, 9), np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    body = iuv[..., 0] > 0
    charts, *values = overlay.chart_overlay(image, iuv), *(overlay.value_overlay(image, iuv, n) for n in (1, 2))
    for panel in (charts, *values):
        assert (panel[~body] == overlay.pale_grey(image)[~body]).all()
    assert (charts[body] == chart_colours()[iuv[body][:, 0]]).all()


def test_values_run_from_dark_to_light() -> None:
    iuv = np.zeros((1, 256, 3), np.uint8)
    iuv[..., 0], iuv[..., 1] = 1, np.arange(256)
    light = cv2.cvtColor(overlay.value_overlay(np.zeros_like(iuv), iuv, 1), cv2.COLOR_RGB2GRAY)[0].astype(int)
    assert light[255] - light[0] > 100
    assert (np.diff(light) >= -2).all()


def test_enlarging_keeps_charts_apart_and_values_between_neighbours() -> None:
    iuv = np.zeros((4, 4, 3), np.uint8)
    iuv[:, :2] = (3, 10, 20)
    iuv[:, 2:] = (7, 200, 210)
    large = overlay.enlarge_map(iuv, 32, 32)
    assert (large[:, :16] == (3, 10, 20)).all()
    assert (large[:, 16:] == (7, 200, 210)).all()
    ramp = np.ones((2, 8, 3), np.uint8)
    ramp[..., 1] = np.arange(0, 256, 32)
    row = overlay.enlarge_map(ramp, 16, 64)[8, :, 1]
    assert (np.diff(row) >= 0).all()
    assert len(np.unique(row)) > 40


def test_level_lines_are_where_levels_change() -> None:
    iuv = np.ones((6, 64, 3), np.float32)
    iuv[..., 1], iuv[..., 2] = np.arange(64) * 4, 0
    image = overlay.level_lines(np.zeros((6, 64, 3), np.uint8), iuv)
    lines = np.flatnonzero((image[2] == overlay.U_LINE).all(axis=-1))
    assert lines.tolist() == [7, 15, 23, 31, 39, 47, 55]


@pytest.mark.parametrize(
    ("status", "score", "expected"),
    [
        ("found", 0.987, "found 0.99"),
        ("found", np.nan, "found"),
        ("none", 0.0, "none"),
        ("fallback", 0.0, "fallback"),
    ],
)
def test_captions(status: str, score: float, expected: str) -> None:
    iuv_map = IuvMap(random_iuv(4, 4), score, np.zeros(4), status, "", "")
    assert show.caption(iuv_map) == expected


def test_a_confidence_is_in_the_caption_and_in_a_panel() -> None:
    iuv = np.zeros((20, 10, 3), np.uint8)
    iuv[4:16, 2:8, 0] = 3
    confidence = np.tile(np.linspace(0, 255, 10).astype(np.uint8), (20, 1))
    one = IuvMap(iuv, 0.5, np.full(4, np.nan), "found", "", "", confidence=confidence, image_confidence=0.25)
    assert show.caption(one) == "found 0.50 sure 0.25"
    image = np.full((20, 10, 3), 90, np.uint8)
    panel = show.sure(image, one).astype(int)
    assert (panel[0] == overlay.pale_grey(image)[0]).all()
    assert panel[10, 7].sum() > panel[10, 2].sum()  # light where it is sure
    plain = IuvMap(iuv, 0.5, np.full(4, np.nan), "found", "", "")
    alone = IuvMap(iuv, 0.5, np.full(4, np.nan), "found", "", "", has_uv=False)
    widths = [show.row(image, each, "a").shape[1] for each in (one, plain, alone)]
    step = show.SIDE // 2 + show.GAP
    assert [width // step for width in widths] == [6, 5, 2]


def test_the_box_has_the_colour_of_its_status() -> None:
    image = np.zeros((20, 10, 3), np.uint8)
    person = IuvMap(random_iuv(20, 10), 1.0, np.array([2, 4, 8, 16], np.float32), "found", "", "")
    framed = show.boxed(image, person, 1.0)
    assert tuple(framed[4, 5]) == show.FRAMES["found"]
    assert not framed[10, 5].any()
    empty = IuvMap(random_iuv(20, 10), 0.0, np.full(4, np.nan), "none", "", "")
    assert tuple(show.boxed(image, empty, 1.0)[0, 0]) == show.FRAMES["none"]
    assert not image.any()


def test_a_page_of_images_of_several_shapes(store: IuvStore, market: Path) -> None:
    one = show.page(store, market, store.keys[:1])
    three = show.page(store, market, store.keys[:3])
    row = show.SIDE + 2 * show.LINE
    assert three.shape == (one.shape[0] + 2 * row, one.shape[1], 3)
    assert three.dtype == np.uint8


def test_a_sheet_is_sampled_by_its_seed(store: IuvStore, market: Path) -> None:
    first, same, other = (show.contact_sheet(store, market, 5, seed) for seed in (0, 0, 1))
    assert (first == same).all()
    assert first.shape != other.shape or (first != other).any()
    everything = show.contact_sheet(store, market, 1000, 0)
    assert everything.size > first.size


def test_what_does_not_fit_is_named(store: IuvStore, market: Path) -> None:
    with pytest.raises(StoreError, match=r"iuv\.h5 has no map of query/none\.jpg; its first key is"):
        show.page(store, market, ["query/none.jpg"])
    (market / store.keys[1]).write_bytes(images.encode_jpeg(np.zeros((8, 8, 3), np.uint8)))
    with pytest.raises(ImageError, match=r"is 8x8, its map 12x24.*--root"):
        show.page(store, market, [store.keys[1]])
