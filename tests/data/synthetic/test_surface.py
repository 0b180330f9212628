"""The body's charts: ranges, the mirror table (docs/design/contracts.md), and the signs measured on real maps."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsa_data import images
from dsa_data.charts import CHARTS
from dsa_data.stores.iuv import quantise
from dsa_data.synthetic.body import Build, build_body
from dsa_data.synthetic.people import sample_person
from dsa_data.synthetic.pose import Pose, view_rotation
from dsa_data.synthetic.raycast import Window
from dsa_data.synthetic.render import Scene, render
from dsa_data.synthetic.scenery import sample_camera
from dsa_data.synthetic.surface import Part, mirrored_points, surface_coordinates

BODY = [part for part in Part if part != Part.BAG]
points = st.lists(st.sampled_from(BODY), min_size=1, max_size=20).flatmap(
    lambda parts: st.tuples(
        st.just(np.array(parts)), arrays(np.float64, (len(parts), 3), elements=st.floats(-2, 2, width=32))
    )
)


def mirror_by_table(chart: int, u: float, v: float) -> tuple[int, float, float]:
    """The table of docs/design/contracts.md, a row each."""
    if chart in (1, 2):
        return chart, u, 1 - v
    partner = chart + 1 if chart % 2 else chart - 1
    if 7 <= chart <= 22:
        return partner, u, v
    return partner, 1 - u, v


@given(points)
def test_every_point_of_the_body_lies_in_a_chart(sampled: tuple[np.ndarray, np.ndarray]) -> None:
    chart, u, v = surface_coordinates(*sampled, hip=0.1)
    assert ((chart >= 1) & (chart <= 24)).all()
    assert ((u >= 0) & (u <= 1) & (v >= 0) & (v <= 1)).all()


@given(points)
def test_the_mirrored_point_follows_the_mirror_table(sampled: tuple[np.ndarray, np.ndarray]) -> None:
    part, local = sampled
    chart, u, v = surface_coordinates(part, local, hip=0.1)
    # On a chart's border the mirrored point may fall to the neighbour: borders are half open.
    inside = (np.minimum(u, v) > 1e-6) & (np.maximum(u, v) < 1 - 1e-6)
    expected = [mirror_by_table(*point) for point in zip(chart, u, v, strict=True)]
    found = surface_coordinates(*mirrored_points(part, local), hip=0.1)
    for at in np.flatnonzero(inside & (np.abs(local[:, 0]) > 1e-6)):
        assert (int(found[0][at]), found[1][at], found[2][at]) == pytest.approx(expected[at], abs=1e-9)


@given(points)
def test_mirroring_twice_gives_the_point_back(sampled: tuple[np.ndarray, np.ndarray]) -> None:
    part, local = mirrored_points(*mirrored_points(*sampled))
    np.testing.assert_array_equal(part, sampled[0])
    np.testing.assert_array_equal(local, sampled[1])


def test_hand_checked_points() -> None:
    # The navel: torso, to the front, halfway down. The left of the chest is at V = 0, the right at 1.
    part = np.array([Part.TORSO] * 3)
    chart, u, v = surface_coordinates(part, np.array([[0, 0.5, 1], [0.99, 0.5, 0.01], [-0.99, 0.5, 0.01]]))
    assert chart.tolist() == [2, 2, 2]
    assert u == pytest.approx([0.5] * 3)
    assert v == pytest.approx([0.5, 0, 1], abs=0.01)
    assert quantise(chart, u, v)[0].tolist() == [2, 128, 128]


def test_a_bag_has_no_chart() -> None:
    chart, u, v = surface_coordinates(np.array([Part.BAG]), np.array([[0.3, 0.4, 0.5]]))
    assert (chart.tolist(), u.tolist(), v.tolist()) == ([0], [0], [0])


def test_all_24_charts_are_carried() -> None:
    angle = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    seen = set()
    for part in BODY:
        local = np.stack([np.sin(angle), np.full(360, 0.5), np.cos(angle)], axis=1)
        seen |= set(surface_coordinates(np.full(360, part), local)[0].tolist())
    assert seen == set(range(1, CHARTS + 1))


def slopes(iuv: np.ndarray, chart: int) -> np.ndarray:
    """Linear fit over x and y: (dU/dx, dU/dy, dV/dx, dV/dy) in the units of the map."""
    y, x = np.nonzero(iuv[..., 0] == chart)
    grid = np.stack([x, y, np.ones(len(x))], axis=1)
    fit = np.linalg.lstsq(grid, iuv[y, x, 1:].astype(float), rcond=None)[0]
    return fit[:2].T.ravel()


def standing(turn: float) -> np.ndarray:
    """The I, U, V of a person who stands upright with the arms a little out, seen from `turn`."""
    generator = np.random.default_rng(0)
    appearance, body = sample_person(generator, generator, 1, (5, 6)).appearance, build_body(Build())
    frames = body.posed(Pose(spread=(0.3, 0.3))).seen(view_rotation(turn, 0.25, 0))
    dark = np.zeros((400, 300, 3), np.float32)
    window = Window(400, 300, 210.0, 210.0)
    frames = frames.moved(np.array([0, -0.85, 0]))
    return render(Scene(window, body, frames, appearance, sample_camera(generator), dark, dark))[1]


@pytest.mark.parametrize("chart", [1, 2, *range(7, 23)])
def test_u_runs_down_torso_and_limbs(chart: int) -> None:
    views = [standing(turn) for turn in (0, np.pi, np.pi / 2, -np.pi / 2)]
    best = max(views, key=lambda iuv: np.sum(iuv[..., 0] == chart))
    assert slopes(best, chart)[1] > 0.3


# U runs down every limb here; DensePose runs it up some of them (docs/design/decisions/data.md).
@pytest.mark.parametrize(("image", "turn"), [("front1", 0.0), ("front2", 0.0), ("back", np.pi)])
def test_charts_run_as_on_real_maps(image: str, turn: float, shared: Path) -> None:
    real, rendered = images.read(shared / "real" / f"{image}_IUV.png"), standing(turn)
    compared = 0
    for chart in range(1, 25):
        if min(np.sum(iuv[..., 0] == chart) for iuv in (real, rendered)) < 250 or chart in (5, 6):
            continue
        first, second = slopes(real, chart), slopes(rendered, chart)
        across = slice(2, 3) if chart in (1, 2, *range(7, 23)) else slice(0, 1)  # dV/dx, dU/dx
        along = slice(3, 4) if chart in (3, 4, 23, 24) else slice(0, 0)  # dV/dy
        for part in (across, along):
            strong = np.abs(first[part]) > 1.0
            np.testing.assert_array_equal(np.sign(first[part])[strong], np.sign(second[part])[strong], str(chart))
            compared += int(strong.sum())
    assert compared >= 8
