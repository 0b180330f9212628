"""Settings of `dsap fuse`, section `fuse`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dsa_app.config import config

Action = Literal["correct", "weight"]


@config
class FuseConfig:
    """How the maps of a person are compared with each other, and what is done with those that are wrong.

    Attributes:
        size: S, the side of a chart of the fused surface in texels.
        split: whose identities may be used. Images of all other splits are judged one by one, without any identity.
        group: images that show one surface: of an "identity", or of a "track", an identity in one camera.
        most: images that are fused together; a larger group is cut into several, which bounds the memory.
        action: what is done with limbs of which the sides may be exchanged. "correct": those that are more likely
            exchanged than not are exchanged back. "weight": I, U, V stay, and the confidence of their pixels is
            multiplied by the probability that they are right; "correct" does this too if the maps have a confidence.
            Maps that are turned around are treated in the same way.
        turned: share of all maps that are expected to be turned around, a back taken for a front or a front for a back.
            With 0 they are not looked for. With more, the other images of a person decide which ones are; about as many
            right maps are then turned as wrong ones are found (docs/design/fuse.md).
    """

    size: Annotated[int, Field(ge=4, le=128)] = 16
    split: str = "train"
    group: Literal["identity", "track"] = "identity"
    most: Annotated[int, Field(ge=2, le=256)] = 64
    action: Action = "correct"
    turned: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
