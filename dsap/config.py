"""Settings of stage two, section `warp` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from dsa_app.config import config

SMALLEST, LARGEST = 2, 256  # of S; U and V are bytes, so that more than 256 rows could not all be filled
Collision = Literal["last", "mean", "surest"]
Parts = Literal["fine", "coarse"]
BACKENDS = ("loky", "threading", "dask")  # those of joblib's that return results while others are computed


@config
class WarpConfig:
    """How an image is warped into 24 part images.

    Attributes:
        size: S, the side of a part image in texels; 32 in the paper.
        collision: which colour a texel gets from several pixels: the "last" in row-major order, their "mean", or that
            of the "surest", the one with the highest confidence, of several the last. Coarse parts have no collisions.
        parts: "fine", aligned inside by u and v (DSAP), or "coarse", cropped by their bounding boxes (the paper's CSA).
    """

    size: Annotated[int, Field(ge=SMALLEST, le=LARGEST)] = 32
    collision: Collision = "last"
    parts: Parts = "fine"
