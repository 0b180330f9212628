"""Renders a scene: the image and its true I, U, V."""

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
    """All that an image shows. The arrays (H, W, ...) have the image's pixels.

    A `mirrored` scene has reflected frames of the same person. Its surface is coloured by the charts of the original
    person, so that clothes are mirrored too; its I, U, V are those of the mirrored person.
    """

    window: Window
    body: Body
    frames: Frames  # in the view's space
    appearance: Appearance
    camera: Camera
    background: Image
    noise: Image
    occluder: tuple[Image, NDArray[np.bool_]] | None = None  # what hides the person, and its mask
    mirrored: bool = False


def render(scene: Scene) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the image (H, W, 3) uint8 RGB and its true I, U, V (H, W, 3) uint8."""
    window = scene.window
    hits = cast(scene.body.solids, scene.frames, window)
    part, local = _on_parts(scene, hits)
    chart, u, v = surface_coordinates(part, local, scene.body.hip)

    # Colour is a function of the surface (chart, u, v), as in the part images. The bag has no chart and is coloured by
    # its own coordinates. Brightness depends on the normal alone.
    image = scene.background.copy()
    colours = scene.appearance.albedo(chart, u, v)
    bag = np.flatnonzero(part == Part.BAG)
    colours[bag] = scene.appearance.bag.colours(local[bag])
    image.reshape(-1, 3)[hits.pixel] = colours * _shade(scene.camera, hits.normal)

    iuv = np.zeros((window.height, window.width, 3), np.uint8)
    if scene.mirrored:
        chart, u, v = surface_coordinates(*mirrored_points(part, local), scene.body.hip)
    iuv.reshape(-1, 3)[hits.pixel] = quantise(chart, u, v)
    if scene.occluder is not None:
        occluder, mask = scene.occluder
        image[mask] = occluder[mask]
        iuv[mask] = 0
    return _develop(scene.camera, image, scene.noise), iuv


def visible_bag_points(scene: Scene) -> Floats:
    """Return the points of the bag that are visible: (n, 3), outer, along and front in the bag's frame."""
    hits = cast(scene.body.solids, scene.frames, scene.window)
    part, local = _on_parts(scene, hits)
    visible: NDArray[np.bool_] = part == Part.BAG
    if scene.occluder is not None:
        visible &= ~scene.occluder[1].ravel()[hits.pixel]
    return local[visible]


def mirror_scene(scene: Scene) -> Scene:
    """Return the mirrored scene: left and right of body, clothes, background and light are exchanged.

    Its image is the flipped image, and its I, U, V follow from the original's by the mirror table
    (docs/design/contracts.md).
    """
    light = scene.camera.light
    return replace(
        scene,
        frames=scene.frames.reflected(),
        camera=replace(scene.camera, light=(-light[0], light[1], light[2])),
        background=np.ascontiguousarray(scene.background[:, ::-1]),
        noise=np.ascontiguousarray(scene.noise[:, ::-1]),
        occluder=scene.occluder and (scene.occluder[0][:, ::-1].copy(), scene.occluder[1][:, ::-1].copy()),
        mirrored=not scene.mirrored,
    )


def _on_parts(scene: Scene, hits: Hits) -> tuple[NDArray[np.intp], Floats]:
    """Return each hit's part (M,) and its coordinates in the part's frame (M, 3), along in units of its length."""
    part = scene.body.solids.part[hits.solid]
    offset = hits.point - scene.frames.origin[part]
    local: Floats = np.einsum("mij,mj->mi", scene.frames.basis[part], offset)
    local[:, 1] = (local[:, 1] - scene.body.start[part]) / scene.body.length[part]
    return part, local


def _shade(camera: Camera, normal: Floats) -> NDArray[np.float32]:
    """Return the brightness (M, 1): light from one direction, and ambient light that is weaker from below."""
    direct = np.maximum(normal @ np.array(camera.light), 0)
    around = 0.8 + 0.2 * normal[:, 1]
    shade: Floats = camera.ambient * around + (1.15 - camera.ambient) * direct
    return shade[:, None].astype(np.float32)


def _develop(camera: Camera, image: Image, noise: Image) -> NDArray[np.uint8]:
    """Return the 8-bit image that the camera makes: blur, gain, gamma, then noise."""
    sigma = camera.blur * max(1.0, image.shape[0] / 128)
    blurred = cv2.GaussianBlur(image, (0, 0), sigma)
    exposed = np.clip(blurred * np.array(camera.gain, np.float32), 0, 1) ** np.float32(camera.gamma)
    developed: Floats = np.clip(exposed + camera.noise * noise, 0, 1)
    return np.rint(255 * developed).astype(np.uint8)
