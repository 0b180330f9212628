"""Ray casting against hand-checked solids and a slow march along every ray."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_data.synthetic.pose import Frames, view_rotation
from dsa_data.synthetic.raycast import Window, bounds, cast
from dsa_data.synthetic.solids import Solid, Solids, ellipsoid, pack
from dsa_data.synthetic.surface import Part

WINDOW = Window(24, 20, 10.0, 10.0)


def turned_frames(turn: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Frames:
    basis = np.tile(np.eye(3), (len(Part), 1, 1)) @ view_rotation(turn, pitch, roll).T
    return Frames(basis, np.zeros((len(Part), 3)))


def march(solid: Solid, frames: Frames, window: Window, step: float = 0.004) -> np.ndarray:
    """Return the depth (H, W) of one solid by trying points from near to far; -inf where there is none."""
    depths = np.arange(2, -2, -step)
    y, x = np.indices((window.height, window.width))
    x = (x + 0.5 - window.width / 2) / window.across
    y = (window.height / 2 - 0.5 - y) / window.down
    points = np.stack(np.broadcast_arrays(x[..., None], y[..., None], depths), axis=-1)  # (H, W, T, 3)
    local = (points @ frames.basis[solid.part].T - np.array(solid.centre)) / np.array(solid.stretch)
    height = local[..., 1]
    flat = np.hypot(local[..., 0], local[..., 2])
    sine = (solid.low - solid.high) / (2 * solid.half) if solid.half else 0.0
    cosine = np.sqrt(1 - sine**2)
    # The nearest sphere of the row of spheres between the two ends lies down the slope.
    centre = np.clip(height + flat * -sine / cosine, -solid.half, solid.half)
    share = (centre + solid.half) / (2 * solid.half) if solid.half else 0.5
    radius = solid.low + share * (solid.high - solid.low)
    inside = flat**2 + (height - centre) ** 2 <= radius**2
    return np.where(inside.any(axis=-1), depths[inside.argmax(axis=-1)], -np.inf)


def depth_map(solids: Solids, frames: Frames) -> np.ndarray:
    hits = cast(solids, frames, WINDOW)
    depth = np.full(WINDOW.height * WINDOW.width, -np.inf)
    depth[hits.pixel] = hits.point[:, 2]
    return depth.reshape(WINDOW.height, WINDOW.width)


def test_a_sphere_has_the_depth_of_its_equation() -> None:
    hits = cast(pack([ellipsoid(Part.TORSO, (0, 0, 0), (0.7, 0.7, 0.7))], 1.0), turned_frames(), WINDOW)
    x, y, z = hits.point.T
    assert z == pytest.approx(np.sqrt(0.49 - x**2 - y**2), abs=1e-5)
    assert hits.normal == pytest.approx(hits.point / 0.7, abs=1e-5)


def test_the_nearer_solid_is_hit() -> None:
    near, far = ellipsoid(Part.HEAD, (0, 0, 0.5), (0.3, 0.3, 0.3)), ellipsoid(Part.TORSO, (0, 0, 0), (0.6, 0.6, 0.6))
    for order in ([near, far], [far, near]):
        solids = pack(order, 1.0)
        hits = cast(solids, turned_frames(), WINDOW)
        middle = np.flatnonzero(np.hypot(hits.point[:, 0], hits.point[:, 1]) < 0.2)
        assert set(solids.part[hits.solid[middle]]) == {Part.HEAD}
        assert set(solids.part[hits.solid]) == {Part.HEAD, Part.TORSO}


def test_nothing_in_the_window_gives_no_hits() -> None:
    away = turned_frames().moved(np.array([100.0, 0, 0]))
    assert len(cast(pack([ellipsoid(Part.HEAD, (0, 0, 0), (1, 1, 1))], 1.0), away, WINDOW).pixel) == 0


tapered = st.builds(
    Solid,
    part=st.just(int(Part.TORSO)),
    centre=st.tuples(*[st.floats(-0.2, 0.2)] * 3),
    half=st.floats(0.25, 0.5),
    low=st.floats(0.1, 0.4),
    high=st.floats(0.1, 0.4),
    stretch=st.tuples(st.floats(0.6, 1.4), st.just(1.0), st.floats(0.6, 1.4)),
)
angles = st.floats(-np.pi, np.pi)


@settings(max_examples=25, deadline=None)
@given(tapered, angles, angles, angles)
def test_tapered_capsules_agree_with_a_slow_march(solid: Solid, turn: float, pitch: float, roll: float) -> None:
    frames = turned_frames(turn, pitch, roll)
    slow, fast = march(solid, frames, WINDOW), depth_map(pack([solid], 1.0), frames)
    both = np.isfinite(slow) & np.isfinite(fast)
    assert np.sum(np.isfinite(slow) != np.isfinite(fast)) <= 6  # rays that touch the edge
    error = np.abs(slow[both] - fast[both])
    assert np.quantile(error, 0.9) < 0.01
    assert error.max() < 0.08


@settings(max_examples=25, deadline=None)
@given(tapered, angles, angles, angles)
def test_solids_stay_within_their_bounds(solid: Solid, turn: float, pitch: float, roll: float) -> None:
    frames, solids = turned_frames(turn, pitch, roll), pack([solid], 1.0)
    (left, low, right, high), hits = bounds(solids, frames)[0], cast(solids, frames, Window(40, 40, 10.0, 10.0))
    assert (hits.point[:, 0] >= left - 1e-6).all()
    assert (hits.point[:, 0] <= right + 1e-6).all()
    assert (hits.point[:, 1] >= low - 1e-6).all()
    assert (hits.point[:, 1] <= high + 1e-6).all()
    assert right - left <= np.ptp(hits.point[:, 0]) + 0.25  # and the bounds are not too wide
