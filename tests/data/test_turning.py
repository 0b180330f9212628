"""The turned map: by hand, against the geometry of the rendered body, and twice is the map itself."""

import numpy as np

from dsa_data.charts import CHART_NAMES
from dsa_data.stores.iuv import quantise, refine
from dsa_data.synthetic.surface import Part, surface_coordinates
from dsa_data.turning import turned, turned_fine

MIDDLE = (Part.TORSO, Part.HEAD)
FEET = (Part.FOOT_LEFT, Part.FOOT_RIGHT)
LIMBS = [part for part in Part if part not in (*MIDDLE, Part.SKIRT, Part.BAG)]


def points(part: Part, seed: int) -> np.ndarray:
    """Points around a part in its frame, (2000, 3), none within a degree of an axis, where rounding may decide."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, 2000)
    return np.stack([np.sin(angle), rng.uniform(0, 1, 2000), -np.cos(angle)], axis=1)


def after_half_a_turn(part: Part, local: np.ndarray) -> tuple[Part, np.ndarray]:
    """Where the points of a part come to lie in the frame of the part that is then seen there."""
    outer, along, front = local.T
    if part in MIDDLE:  # outer is to the person's left, and left and right are exchanged
        return part, np.stack([-outer, along, -front], axis=1)
    other = Part(part ^ 1)
    if part in FEET:  # along runs from heel to toe, and front is up
        return other, np.stack([outer, 1 - along, front], axis=1)
    return other, np.stack([outer, along, -front], axis=1)


def seam_distance(iuv: np.ndarray) -> np.ndarray:
    """How far V, and U of head and hands, is from an end of its chart, in steps of a byte."""
    around = np.where(np.isin(iuv[..., 0], (3, 4, 23, 24)), iuv[..., 1], iuv[..., 2]).astype(int)
    return np.minimum(around, 255 - around)


def test_it_is_the_map_of_the_body_after_half_a_turn() -> None:
    seen = set()
    for part in (*MIDDLE, *LIMBS):
        local = points(part, part)
        before = quantise(*surface_coordinates(np.full(2000, part), local))
        other, moved = after_half_a_turn(part, local)
        want = quantise(*surface_coordinates(np.full(2000, other), moved))
        found = turned(before[None])[0]
        inside = (seam_distance(before) > 2) & (seam_distance(want) > 2)
        assert inside.mean() > 0.9
        assert (found[inside, 0] == want[inside, 0]).all(), part.name
        assert np.abs(found[inside].astype(int) - want[inside])[:, 1:].max() <= 1, part.name
        seen |= set(want[:, 0].tolist())
    assert seen == set(range(1, 25))


def test_by_hand() -> None:
    iuv = np.array(
        [[[0, 0, 0], [2, 10, 20], [8, 30, 40], [13, 50, 60], [19, 70, 80], [24, 5, 90], [4, 1, 2]]], np.uint8
    )
    want = [[0, 0, 0], [1, 10, 235], [9, 30, 215], [12, 50, 60], [20, 70, 175], [23, 5, 90], [3, 1, 2]]
    assert turned(iuv)[0].tolist() == want
    # Of the upper arms: the side at the front to the back, and what is outermost stays on its chart.
    arms = np.array([[[15, 9, 255], [17, 9, 0], [17, 9, 255], [15, 9, 0]]], np.uint8)
    assert turned(arms)[0].tolist() == [[18, 9, 137], [16, 9, 93], [18, 9, 138], [16, 9, 92]]


def test_fronts_become_backs_and_left_becomes_right() -> None:
    everything = np.stack(np.meshgrid(np.arange(1, 25), [100], np.arange(256), indexing="ij"), axis=-1)
    everything = everything[:, 0].astype(np.uint8)  # (24, 256, 3)
    for before, after in zip(everything, turned(everything), strict=True):
        name = CHART_NAMES[before[0, 0] - 1]
        names = {CHART_NAMES[chart - 1] for chart in np.unique(after[:, 0])}
        assert not {"left", "right"} & set(name.split()) & {word for other in names for word in other.split()}
        if "upper arm" not in name and ("front" in name or "back" in name):
            assert not {"front", "back"} & set(name.split()) & {word for other in names for word in other.split()}
        assert len(names) == (2 if "upper arm" in name else 1)


def test_twice_is_the_map_itself() -> None:
    chart, u, v = np.meshgrid(np.arange(25), [0, 100, 255], np.arange(256), indexing="ij")
    iuv = np.stack([chart, u, v], axis=-1).astype(np.uint8).reshape(75, 256, 3)
    iuv[iuv[..., 0] == 0] = 0
    again = turned(turned(iuv))
    assert (again[..., :2] == iuv[..., :2]).all()
    off = again[..., 2].astype(int) - iuv[..., 2]
    assert not off[~np.isin(iuv[..., 0], range(15, 19))].any()
    assert np.abs(off).max() <= 1
    assert (turned(again) == turned(iuv)).mean() > 0.99


def test_16_bits_agree_with_the_bytes() -> None:
    rng = np.random.default_rng(0)
    chart, u, v = rng.integers(0, 25, 5000), rng.uniform(0, 1, 5000), rng.uniform(0, 1, 5000)
    iuv, fine = quantise(chart, u, v)[None], refine(chart, u, v)[None]
    found, bytes_ = turned_fine(fine, iuv), turned(iuv)
    assert found.dtype == np.uint16
    assert (found[..., 0] == fine[..., 0]).all()
    body = bytes_[..., 0] > 0
    assert not found[~body].any()
    assert np.abs(found[body][:, 1] / 65536 * 255 - bytes_[body][:, 2]).max() < 1.5
    simple = body & ~np.isin(iuv[..., 0], range(15, 19))
    again = turned_fine(found, bytes_)
    assert (again[simple] == fine[simple]).all()
    assert np.abs(again[body].astype(int) - fine[body]).max() <= 2 * 257
