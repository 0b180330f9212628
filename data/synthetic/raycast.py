"""Ray casting of tapered capsules, for all solids and pixels in one pass of array operations.

The camera is far away: rays are parallel to Z, so that a ray is a pixel's X and Y. Each solid is cast only over the
rectangle that it covers. The (solid, pixel) pairs of all rectangles are stored end to end in flat arrays; a value of a
solid is given to all its pairs by `repeat`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .pose import Frames
from .solids import Solids

Floats = NDArray[np.floating]
_FAR = np.float32(-np.inf)


@dataclass(frozen=True)
class Window:
    """The image plane: `height` by `width` pixels, with `down` rows and `across` columns a metre.

    The centre of the image is X = Y = 0.
    """

    height: int
    width: int
    down: float
    across: float


@dataclass(frozen=True)
class Hits:
    """The M pixels whose ray hits a solid, in row-major order.

    `pixel` (M,) is row * width + column, `solid` (M,) the index of the solid that is hit; `point` and `normal` (M, 3)
    are in the view's space.
    """

    pixel: NDArray[np.intp]
    solid: NDArray[np.intp]
    point: Floats
    normal: Floats


def cast(solids: Solids, frames: Frames, window: Window) -> Hits:
    """Return the nearest surface in each pixel."""
    centre = _centres(solids, frames)
    to_local = (solids.to_local @ frames.basis[solids.part]).astype(np.float32)  # (N, 3, 3): from the view's space
    count, row, column = _pairs(_rectangles(solids, frames, window))
    solid = np.repeat(np.arange(len(count)), count)
    x = ((column + 0.5 - window.width / 2) / window.across).astype(np.float32)
    y = ((window.height / 2 - 0.5 - row) / window.down).astype(np.float32)

    # In local coordinates every solid is an upright capsule, so one formula serves all of them. A ray starts where it
    # crosses the plane Z = const through the solid's centre; local coordinates are linear in X and Y there.
    middle = np.repeat(centre.T.astype(np.float32), count, axis=1)
    right, up = (np.repeat(to_local[:, :, axis].T, count, axis=1) for axis in (0, 1))
    origin = right * (x - middle[0]) + up * (y - middle[1])  # (3, pairs)
    above = _depth(origin, to_local[:, :, 2].T, solids, count)  # (pairs,), from that plane towards the viewer, metres
    depth = above + middle[2]

    # A depth buffer over all pairs at once: first the greatest depth in each pixel, then the pair that has it. If two
    # pairs are equally near, the later solid is kept.
    hit = np.flatnonzero(depth > _FAR)
    pixel = row[hit] * window.width + column[hit]
    nearest = np.full(window.height * window.width, _FAR, np.float32)
    np.maximum.at(nearest, pixel, depth[hit])
    front = depth[hit] == nearest[pixel]
    pair_of = np.full(window.height * window.width, -1, np.intp)
    pair_of[pixel[front]] = hit[front]
    pixel = np.flatnonzero(pair_of >= 0)
    pair = pair_of[pixel]

    solid = solid[pair]
    # The normal points away from the nearest point of the axis, which is exact for the spheres and leaves out the lean
    # of the cone. Normals are covariant: the transpose of the map to local coordinates takes them back to the view.
    local = origin[:, pair] + above[pair] * to_local[solid, :, 2].T
    local[1] -= np.clip(local[1], -solids.half[solid], solids.half[solid])
    normal = np.einsum("nij,in->nj", to_local[solid], local)
    normal /= np.sqrt(np.einsum("ni,ni->n", normal, normal))[:, None]
    return Hits(pixel, solid, np.stack([x[pair], y[pair], depth[pair]], axis=1), normal)


def bounds(solids: Solids, frames: Frames) -> Floats:
    """Return (N, 4): the least X and Y, and the greatest, of each solid in the view, in metres."""
    to_view = np.swapaxes(frames.basis[solids.part], 1, 2)[:, :2] @ solids.from_local  # (N, 2, 3): X, Y of local axes
    centre = _centres(solids, frames)
    # The unit sphere becomes an ellipsoid in the view, which reaches as far along X as the norm of the map's row for X.
    reach = np.sqrt(np.einsum("nij,nij->ni", to_view, to_view))  # (N, 2)
    axis = to_view[:, :, 1] * solids.half[:, None]
    first = centre[:, :2] - axis
    last = centre[:, :2] + axis
    low, high = reach * solids.low[:, None], reach * solids.high[:, None]
    return np.hstack([np.minimum(first - low, last - high), np.maximum(first + low, last + high)])


def _centres(solids: Solids, frames: Frames) -> Floats:
    offset: Floats = np.einsum("nij,ni->nj", frames.basis[solids.part], solids.centre)
    return frames.origin[solids.part] + offset


def _rectangles(solids: Solids, frames: Frames, window: Window) -> NDArray[np.intp]:
    """Return (N, 4): top, left, bottom, right of the pixels that each solid may cover, the last two exclusive."""
    left, lowest, right, highest = bounds(solids, frames).T
    rectangle = np.stack(
        [
            np.floor(window.height / 2 - highest * window.down),
            np.floor(window.width / 2 + left * window.across),
            np.ceil(window.height / 2 - lowest * window.down),
            np.ceil(window.width / 2 + right * window.across),
        ],
        axis=1,
    )
    clipped: Floats = np.clip(rectangle, 0, [window.height, window.width] * 2)
    return clipped.astype(np.intp)


def _pairs(rectangle: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the number of pixels of each rectangle (N,), and row and column of every pixel (pairs,)."""
    top, left, bottom, right = rectangle.T
    height, width = bottom - top, right - left
    row = _counted_from(top, height)
    across = np.repeat(width, height)  # a value for every row of every rectangle
    return height * width, np.repeat(row, across), _counted_from(np.repeat(left, height), across)


def _counted_from(start: NDArray[np.intp], length: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return `length[0]` numbers from `start[0]` up, then `length[1]` numbers from `start[1]` up, …, end to end."""
    return np.arange(length.sum()) + np.repeat(start - np.cumsum(length) + length, length)


def _depth(origin: Floats, ray: Floats, solids: Solids, count: NDArray[np.intp]) -> Floats:
    """Return the greatest t with origin + t ray on the solid, (pairs,); -inf if the ray misses it.

    A tapered capsule is two spheres and the cone that touches both. It is convex, so the nearest of the three
    intersections is its own. An open one is the cone alone.

    Args:
        origin: (3, pairs), in local coordinates.
        ray: (3, N), in local coordinates: the same for all pairs of a solid.
    """
    # The cone's side leans by the angle whose sine is (low - high) / distance of the centres. At height y its radius is
    # middle - tangent y; it touches the spheres at the heights `first` and `last`.
    half, low, high = solids.half, solids.low, solids.high
    sine = np.divide(low - high, 2 * half, out=np.zeros_like(half), where=half > 0)
    cosine = np.sqrt(1 - sine**2)
    tangent, middle = sine / cosine, (low + high) / 2 / cosine
    first = np.where(solids.open, -half, low * sine - half)
    last = np.where(solids.open, half, high * sine + half)
    # All that depends on the solid alone is computed once for each solid, then repeated for its pairs.
    rx, ry, rz = ray
    flat = rx * rx + rz * rz
    a = flat - (tangent * ry) ** 2
    per_solid = [rx, ry, rz, half, low**2, high**2, tangent, middle, first, last, flat + ry * ry, a, solids.open]
    rx, ry, rz, half, low, high, tangent, middle, first, last, rr, a, is_open = np.repeat(
        np.array(per_solid, np.float32), count, axis=1
    )

    # The spheres: |o + t r - (0, end, 0)|² = radius², of whose two roots the greater t is nearer to the viewer.
    ox, oy, oz = origin
    across, away = ox * rx + oz * rz, ox * ox + oz * oz
    depth = np.full(len(ox), _FAR)
    for end, square in ((-half, low), (half, high)):
        y = oy - end
        b = across + y * ry
        root = b * b - rr * (away + y * y - square)
        t = (np.sqrt(np.maximum(root, 0)) - b) / rr
        depth = np.where((root >= 0) & (is_open == 0), np.maximum(depth, t), depth)

    # The cone: x² + z² = (middle - tangent y)², solved in the same way. The root counts only between the cone's ends.
    # If `a` is 0 the ray is parallel to the side, and the division gives no finite t.
    radius = middle - tangent * oy  # of the cone at t = 0
    b = across + tangent * ry * radius
    root = b * b - a * (away - radius * radius)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = (np.sqrt(np.maximum(root, 0)) - b) / a
        y = oy + t * ry
        on_cone = (root >= 0) & (y >= first) & (y <= last) & np.isfinite(t)
    return np.where(on_cone, np.maximum(depth, t), depth)
