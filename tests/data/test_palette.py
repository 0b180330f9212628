"""One palette: any two charts differ, and a painted map shows chart, U and V."""

import cv2
import numpy as np

from dsa_data.palette import chart_colours, paint_iuv


def test_any_two_charts_differ_in_colour() -> None:
    colours = chart_colours()
    assert colours.shape == (25, 3)
    lab = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(25)
    assert distance.min() > 20
    assert (lab[1::2, 0] + 20 < lab[2::2, 0]).all()  # the odd partner is the darker one


def test_a_painted_map_keeps_charts_apart_and_the_background_black() -> None:
    iuv = np.zeros((1, 26, 3), np.uint8)
    iuv[0, :25, 0] = np.arange(25)
    iuv[..., 1] = 255
    painted = paint_iuv(iuv)
    assert (painted[0, :25] == chart_colours()).all()  # U = 255 and V = 0: the chart's own colour
    assert not painted[0, 25].any()


def test_a_painted_map_brightens_along_u_and_pales_along_v() -> None:
    for chart in range(1, 25):
        iuv = np.zeros((2, 256, 3), np.uint8)
        iuv[..., 0] = chart
        iuv[0, :, 1] = iuv[1, :, 2] = np.arange(256)
        painted = paint_iuv(iuv).astype(int)
        assert (np.diff(painted.sum(axis=-1)) >= 0).all()
        assert (painted[:, 255].sum(axis=-1) > painted[:, 0].sum(axis=-1) + 30).all()
        spread = painted[1].max(axis=-1) - painted[1].min(axis=-1)
        assert spread[255] < spread[0]
