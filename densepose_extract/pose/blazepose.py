"""BlazePose's landmark network: 33 landmarks of the body, and which pixels show the person.

The network is the one that MediaPipe runs (`pose_landmark_full.tflite`; Bazarevsky et al., "BlazePose: On-device
Real-time Body Pose tracking", 2020). MediaPipe finds people with a detector first, which is made for whole scenes and
misses one re-ID crop in five. Here the network looks at the whole crop, then again at the square around the person that
its first answer gives.
"""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import EngineError

from .logistic import sigmoid
from .skeleton import Joint, Skeleton, unit, with_middles

Floats = NDArray[np.floating]

SIDE = 256  # pixels of the network's input
LANDMARKS = 33  # and six more, of which two say where the person is
CENTRE, CIRCLE = 33, 34  # between the hips, and a point on the circle around the whole person
CIRCLES = 1.25  # side of the square that the network looks at, in diameters of that circle, as in MediaPipe
STRIDE = 4  # pixels of the input for one of the heat maps
KERNEL = 3  # cells of a heat map on each side of a landmark that refine it
PEAK = 0.5  # of the heat, below which a landmark is not refined
SCALES = (1.4, 1.05, 1.8)  # sides of the first square, in heights of the crop; the later ones if no person is found
PRESENT = 0.5  # presence of a person at which no further square is tried
OUTPUTS = {
    "landmarks": (
        1,
        195,
    ),  # 39 times x, y, z in pixels of the input, and the logits of being visible and of being there
    "presence": (1, 1),
    "mask": (1, SIDE, SIDE, 1),  # logits
    "heat": (1, 64, 64, 39),  # logits
    "world": (1, 117),  # 39 times x to the right, y down, z away from the viewer, in metres
}

NOSE, LEFT_EAR, RIGHT_EAR = 0, 7, 8
LEFT_SHOULDER, RIGHT_SHOULDER, LEFT_HIP, RIGHT_HIP = 11, 12, 23, 24
# The landmarks of the joints of a side, in the order of `Joint`, fingers left out: shoulders, elbows, wrists, hips, ...
JOINTS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32)
WRISTS, FINGERS = (15, 16), ((17, 19), (18, 20))  # left, right; of the fingers those of the little one and the index
FINGER_LENGTH = 1.3  # from the wrist over the knuckles to the tips, in distances of the knuckles
TRUNK = (0, 7, 8, 11, 12, 13, 14, 23, 24, 25, 26, 27, 28)  # landmarks that give the scale
SMALLEST = 0.1  # pixels of a metre, for landmarks that are all in one place
NO_MASK = -30.0  # logit of the mask outside the square


@dataclass(frozen=True)
class Square:
    """The square of an image that the network looks at, upright or not: centre and side in pixels, angle in radians."""

    x: float
    y: float
    side: float
    angle: float = 0.0

    @property
    def to_input(self) -> Floats:
        """Return the map (2, 3) from pixels of the image to pixels of the network's input."""
        scale = SIDE / self.side
        cosine, sine = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        rotation = np.array([[cosine, sine], [-sine, cosine]])
        return np.column_stack([rotation, SIDE / 2 - rotation @ [self.x, self.y]])


@dataclass(frozen=True)
class Look:
    """What the network says of one square of an image.

    Attributes:
        points: (39, 2) x and y in pixels of the image.
        world: (39, 3) x to the image's right, y down, z away from the viewer, in metres.
        visible, present: (39,) logits.
        presence: probability that the square shows a person.
        mask: (H, W) probability that a pixel of the image shows the person.
    """

    points: Floats
    world: Floats
    visible: Floats
    present: Floats
    presence: float
    mask: Floats

    def around_person(self) -> Square:
        """Return the square that MediaPipe would look at next: around the person, who stands upright in it."""
        centre, rim = self.points[CENTRE], self.points[CIRCLE]
        across, up = rim[0] - centre[0], centre[1] - rim[1]
        radius = max(float(np.hypot(across, up)), 1.0)
        return Square(float(centre[0]), float(centre[1]), 2 * CIRCLES * radius, float(np.arctan2(across, up)))


class BlazePose:
    """The landmark network of the file at `path`. Each thread has an interpreter of its own.

    Raises EngineError if ai-edge-litert is not installed, or if the file is not this network.
    """

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("ai_edge_litert") is None:
            raise EngineError("The engine pose needs ai-edge-litert. Install it: pip install ai-edge-litert")
        self._path = path
        self._local = threading.local()
        self._interpreter()

    def looks(self, image: NDArray[np.uint8]) -> list[Look]:
        """Return what the network says of an RGB image (H, W, 3): of the whole, then of the square around the person.

        The second is missing if either shows no person.
        """
        height, width = image.shape[:2]
        best: Look | None = None
        for scale in SCALES:
            look = self.look(image, Square(width / 2, height / 2, scale * max(height, 1.5 * width)))
            best = look if best is None or look.presence > best.presence else best
            if best.presence >= PRESENT:
                second = self.look(image, best.around_person())
                return [best, second] if second.presence >= PRESENT else [best]
        assert best is not None
        return [best]

    def look(self, image: NDArray[np.uint8], square: Square) -> Look:
        """Return what the network says of a square of an RGB image (H, W, 3)."""
        interpreter, outputs = self._interpreter()
        to_input = square.to_input
        inside = cv2.warpAffine(image, to_input, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], inside[None].astype(np.float32) / 255)
        interpreter.invoke()
        values = {name: interpreter.get_tensor(index)[0].copy() for name, index in outputs.items()}
        landmarks = values["landmarks"].reshape(39, 5).astype(np.float64)
        points = _refined(landmarks[:, :2], values["heat"])
        rotation = to_input[:, :2]
        turn = rotation / np.sqrt(abs(np.linalg.det(rotation)))  # from the image to the input, without the scale
        world = values["world"].reshape(39, 3).astype(np.float64)
        world[:, :2] = world[:, :2] @ turn
        height, width = image.shape[:2]
        mask = cv2.warpAffine(
            values["mask"][..., 0],
            to_input,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=NO_MASK,
        )
        return Look(
            points=(points - to_input[:, 2]) @ np.linalg.inv(rotation).T,
            world=world,
            visible=landmarks[:, 3],
            present=landmarks[:, 4],
            presence=float(values["presence"][0]),
            mask=sigmoid(np.asarray(mask, np.float64)),
        )

    def _interpreter(self) -> tuple[Any, dict[str, int]]:
        """Return the thread's interpreter, and the index of each of its outputs by the names of `OUTPUTS`."""
        if not hasattr(self._local, "interpreter"):
            from ai_edge_litert.interpreter import Interpreter

            try:
                interpreter = Interpreter(str(self._path), num_threads=1)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise EngineError(f"{self._path} is not a network of TensorFlow Lite: {error}") from None
            indices = {tuple(one["shape"]): one["index"] for one in interpreter.get_output_details()}
            if set(indices) != set(OUTPUTS.values()):
                raise EngineError(
                    f"{self._path} has outputs {sorted(indices)}, expected those of pose_landmark_full.tflite: "
                    f"{sorted(OUTPUTS.values())}."
                )
            outputs = {name: indices[shape] for name, shape in OUTPUTS.items()}
            self._local.interpreter = interpreter, outputs
        loaded: tuple[Any, dict[str, int]] = self._local.interpreter
        return loaded


def skeleton_of(look: Look) -> Skeleton:
    """Return the skeleton of a look, as the network sees it; `facing.turn_round` exchanges front and back."""
    points, world = look.points[:LANDMARKS], look.world[:LANDMARKS]
    pixels, metres = points[list(TRUNK)].std(axis=0).sum(), world[list(TRUNK), :2].std(axis=0).sum()
    certain = sigmoid(np.minimum(look.visible, look.present))[:LANDMARKS]
    ears = [LEFT_EAR, RIGHT_EAR]

    def joints(values: Floats, fingers: list[Floats]) -> Floats:
        """Return the values (21, ...) of all joints from those of the landmarks (33, ...) and those of both fingers."""
        sides = values[list(JOINTS)]
        first = int(Joint.LEFT_FINGERS)
        return with_middles(
            np.concatenate([sides[:first], np.stack(fingers), sides[first:], values[ears].mean(0)[None]])
        )

    tips = [
        points[wrist] + FINGER_LENGTH * (points[list(knuckles)].mean(axis=0) - points[wrist])
        for wrist, knuckles in zip(WRISTS, FINGERS, strict=True)
    ]
    return Skeleton(
        points=joints(points, tips),
        depth=joints(world[:, 2], [world[list(knuckles), 2].mean() for knuckles in FINGERS]),
        certainty=joints(certain, [certain[list(knuckles)].mean() for knuckles in FINGERS]),
        scale=max(float(pixels / max(metres, 1e-6)), SMALLEST),
        torso=_left(world, LEFT_SHOULDER, LEFT_HIP),
        head=_left(world, LEFT_EAR),
        arms=_left(world, LEFT_SHOULDER),
        legs=_left(world, LEFT_HIP),
    )


def across(world: Floats) -> Floats:
    """Return from the right side of shoulders and hips to the left one, (3,), in metres and as a sum of both."""
    return np.asarray(world[LEFT_SHOULDER] - world[RIGHT_SHOULDER] + world[LEFT_HIP] - world[RIGHT_HIP])


def _left(world: Floats, *left: int) -> Floats:
    """Return the direction (2,), right and away, from right landmarks to left ones; the right one follows its left."""
    return unit(sum((world[one] - world[one + 1] for one in left), np.zeros(3))[[0, 2]])


def _refined(points: Floats, heat: Floats) -> Floats:
    """Return landmarks (39, 2) moved to the middle of their heat (64, 64, 39), as MediaPipe does."""
    refined = points.copy()
    cells = heat.shape[0]
    for index, (x, y) in enumerate((points / STRIDE).astype(int)):
        if not (0 <= x < cells and 0 <= y < cells):
            continue
        rows = np.arange(max(y - KERNEL, 0), min(y + KERNEL + 1, cells))
        columns = np.arange(max(x - KERNEL, 0), min(x + KERNEL + 1, cells))
        weight = sigmoid(heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, index].astype(np.float64))
        if weight.max() >= PEAK:
            refined[index] = STRIDE * np.array([weight.sum(0) @ columns, weight.sum(1) @ rows]) / weight.sum()
    return refined
