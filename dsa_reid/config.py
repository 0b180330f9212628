"""The main stream's settings. Importing them does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .body import REGION_NAMES
from .errors import ModelError

REGIONS = len(REGION_NAMES)  # 8 local heads, one for each body region that the guide's merging ends in
STEM = 64  # channels of conv1 at width 1
RESNETS = ("resnet18", "resnet50", "resnet50_ibn")
TIMM = "timm/"  # prefix of the name of a trunk from timm


@dataclass(frozen=True)
class MainStreamConfig:
    """The main stream's shape; the defaults are the paper's.

    Attributes:
        trunk: "resnet50", "resnet18", "resnet50_ibn" (IBN-a up to conv4_x, as its authors have it), or "timm/" and the
            name of a timm model that has a map at stride 16.
        width: multiplies every channel count; a multiple of 1/8.
        local_input: the channels of F that a local head reads: its own eighth ("slice"), or all of them ("full").
        heads: the heads of the network: the global one, the local ones, or both.
        pooling: "average", or "gem", the generalised mean with a trained power.
        neck: "bn" is a batch norm without bias after each feature, before comparison and classification (BNNeck, Luo et
            al. 2019); triplet losses and fusion use the feature before it.
        size: height and width of the images that a timm trunk with position embeddings (ViT, Swin) is built for.

    Raises ModelError for an invalid value.
    """

    trunk: str = "resnet50"
    width: float = 1.0
    local_input: Literal["slice", "full"] = "slice"
    heads: Literal["both", "global", "local"] = "both"
    pooling: Literal["average", "gem"] = "average"
    neck: Literal["none", "bn"] = "none"
    size: tuple[int, int] = (256, 128)

    def __post_init__(self) -> None:
        """Check the values, which may come from a file."""
        if self.trunk.startswith(TIMM):
            _one_of("width", self.width, (1.0,))
        else:
            _one_of("trunk", self.trunk, (*RESNETS, f"{TIMM}NAME"))
        _one_of("local_input", self.local_input, ("slice", "full"))
        _one_of("heads", self.heads, ("both", "global", "local"))
        _one_of("pooling", self.pooling, ("average", "gem"))
        _one_of("neck", self.neck, ("none", "bn"))
        if not (self.width > 0 and (STEM * self.width) % REGIONS == 0):
            raise ModelError(
                f"width = {self.width!r} is invalid: the {STEM} × width channels of conv1 must be divisible by "
                f"{REGIONS}. Use a multiple of {REGIONS / STEM}, as in 0.25 or 0.5."
            )


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ModelError(f"{name} = {value!r} is invalid: expected {' or '.join(map(repr, known))}.")
