"""From a scene to a picture and its I, U, V."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from ..stores.iuv import quantise
from .appearance import Appearance
from .body import Body
from .pose import Frames
from .raycast import Hits, Window, cast
from .scenery import Camera, Image
from .surface import Part, mirrored_points, surface_coordinates

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Scene:
    """All that a picture shows. What is drawn (H, W, ...) is in the picture's pixels.

    A `mirrored` scene holds reflected frames of the same person: its surface is painted by the charts of the
    person as it was, and its I, U, V are those of the person that the mirror shows.
    """

    window: Window
    body: Body
    frames: Frames  # in the view's space
    appearance: Appearance
    camera: Camera
    backdrop: Image
    noise: Image
    before: tuple[Image, NDArray[np.bool_]] | None = None  # what hides the person, and where
    mirrored: bool = False


def render(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the picture (H, W, 3) uint8 RGB and its true I, U, V (H, W, 3) uint8."""
    window = scene.window
    hits = cast(scene.body.solids, scene.frames, window)
    part, local = _on_parts(scene, hits)
    chart, u, v = surface_coordinates(part, local, scene.body.hip)

    picture = scene.backdrop.copy()
    colours = scene.appearance.albedo(chart, u, v)
    bag = np.flatnonzero(part == Part.BAG)
    colours[bag] = scene.appearance.bag.colours(local[bag])
    picture.reshape(-1, 3)[hits.pixel] = colours * _shade(scene.camera, hits.normal)

    iuv = np.zeros((window.height, window.width, 3), np.uint8)
    if scene.mirrored:
        chart, u, v = surface_coordinates(*mirrored_points(part, local), scene.body.hip)
    iuv.reshape(-1, 3)[hits.pixel] = quantise(chart, u, v)
    if scene.before is not None:
        thing, where = scene.before
        picture[where] = thing[where]
        iuv[where] = 0
    return _take(scene.camera, picture, scene.noise), iuv


def seen_of_bag(scene: Scene) -> Floats:
    """Return the points of the bag that the picture shows: (n, 3), outer, along and front in the bag's frame."""
    hits = cast(scene.body.solids, scene.frames, scene.window)
    part, local = _on_parts(scene, hits)
    seen = part == Part.BAG
    if scene.before is not None:
        seen &= ~scene.before[1].ravel()[hits.pixel]
    return local[seen]


def mirrored(scene: Scene) -> Scene:
    """Return the scene as a mirror shows it: the left and right of body, clothes, place and light exchanged.

    Its picture is the flipped picture, and its I, U, V follow from the original's by the mirror table.
    """
    light = scene.camera.light
    return replace(
        scene,
        frames=scene.frames.reflected(),
        camera=replace(scene.camera, light=(-light[0], light[1], light[2])),
        backdrop=np.ascontiguousarray(scene.backdrop[:, ::-1]),
        noise=np.ascontiguousarray(scene.noise[:, ::-1]),
        before=scene.before and (scene.before[0][:, ::-1].copy(), scene.before[1][:, ::-1].copy()),
        mirrored=not scene.mirrored,
    )


def _on_parts(scene: Scene, hits: Hits) -> tuple[NDArray[np.intp], Floats]:
    """Return the parts that were hit (M,), and where, in their frames (M, 3), along in units of their length."""
    part = scene.body.solids.part[hits.solid]
    offset = hits.point - scene.frames.origin[part]
    local = np.einsum("mij,mj->mi", scene.frames.basis[part], offset)
    local[:, 1] = (local[:, 1] - scene.body.start[part]) / scene.body.length[part]
    return part, local


def _shade(camera: Camera, normal: Floats) -> NDArray[np.float32]:
    """Return (M, 1): light from one side and from all around, dimmer towards the edge and from below."""
    direct = np.maximum(normal @ np.array(camera.light), 0)
    around = 0.8 + 0.2 * normal[:, 1]
    shade = camera.ambient * around + (1.15 - camera.ambient) * direct
    return shade[:, None].astype(np.float32)


def _take(camera: Camera, picture: Image, noise: Image) -> NDArray[np.uint8]:
    """Return what the camera makes of the light: blurred, coloured, noisy, in 8 bits."""
    sigma = camera.blur * max(1.0, picture.shape[0] / 128)
    seen = cv2.GaussianBlur(picture, (0, 0), sigma)
    seen = np.clip(seen * np.array(camera.gain, np.float32), 0, 1) ** np.float32(camera.gamma)
    return np.rint(255 * np.clip(seen + camera.noise * noise, 0, 1)).astype(np.uint8)
