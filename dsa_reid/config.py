"""The main stream's settings. Importing them does not import torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .body import REGION_NAMES
from .errors import ModelError, SettingError

REGIONS = len(REGION_NAMES)  # 8 local heads, one for each body region that the guide's merging ends in
STEM = 64  # channels of conv1 at width 1
MOST = 2**16  # channels of the local maps: far more than is useful, few enough for any machine
RESNETS = ("resnet18", "resnet50", "resnet50_ibn", "resnet101_ibn")
OSNETS = ("osnet_x1_0", "osnet_x0_75", "osnet_x0_5", "osnet_x0_25", "osnet_ibn_x1_0")
TIMM = "timm/"  # prefix of the name of a trunk from timm
HEADS = ("dsa", "plain", "pcb", "mgn")
VIT_OFF: dict[str, object] = {"patch_stride": 0, "sie": 0.0, "global_feature": "pooled"}  # settings of plain ViTs, off
COARSE, FINE = 16, 8  # strides of F, and of the map that `local_levels` may add
LocalPooling = Literal["average", "regions", "stripes", "regions+stripes", "template"]


@dataclass(frozen=True)
class MainStreamConfig:
    """The main stream's shape; the defaults are the paper's.

    Attributes:
        trunk: "resnet50", "resnet18", "resnet50_ibn" or "resnet101_ibn" (IBN-a up to conv4_x, as its authors have it),
            an OSNet under torchreid's name ("osnet_x1_0"), or "timm/" and the name of a timm model that has a map at
            stride 16 or 14.
        width: multiplies every channel count; a multiple of 1/8.
        local_input: the channels of F that a local head reads: its own eighth ("slice"), or all of them ("full").
        local_head: the layers of a local head: conv5_x is the paper's, whose 3×3 convolutions see cells around;
            "pointwise" is one 1×1 convolution, which sees its cell alone, so that a region's feature is of that region.
        local_channels: of the eight local maps of a level together, with pointwise heads; 0 for as many as f_G has.
        heads: the heads of the network: the global one, the local ones, or both.
        pooling: "average", or "gem", the generalised mean with a trained power.
        neck: "bn" is a batch norm without bias after each feature, before comparison and classification (BNNeck, Luo et
            al. 2019); triplet losses and fusion use the feature before it.
        size: height and width of the images that a timm trunk with position embeddings (ViT, Swin) or a template is
            built for. A training sets it to the size of its images.
        local_pooling: how the local features are pooled from their maps: "average" over the whole image is the
            paper's; "regions" over the body region of each, predicted from the image by a small head; "stripes" over
            eight horizontal stripes; "regions+stripes" both; "template" over the mean regions of the training images.
        local_levels: strides of the maps that they are pooled from, [16] or [16, 8].
        local_join: "concat" joins what ways and levels give to a longer feature, "sum" adds it.
        head: how the global feature is made of F: by conv5_x and pooling ("dsa"); by pooling alone ("plain"); by PCB's
            six stripes (Sun et al. 2018, "pcb"); by MGN's three branches of a ResNet (Wang et al. 2018, "mgn"). All
            but "dsa" are for heads = "global".
        patch_stride: of a timm ViT: pixels between its patches, which overlap below their own size (He et al. 2021,
            TransReID, section 3.1: 12 for patches of 16); 0 for their size.
        global_feature: "pooled" is the paper's, conv5_x of the trunk's map; "token" the class token of a timm ViT after
            its last norm, without conv5_x.
        sie: of a timm ViT: λ of a learnt embedding of the camera that is added to every token (TransReID, side
            information embeddings; 3 in its code); 0 for none.
        unknown_camera: what is added where the camera is not given, or is not one of the training: the "mean" of all
            cameras' embeddings, or "zero".
        cameras: camid of each embedding; a training sets it to the cameras of its images.

    Raises ModelError for an invalid value.
    """

    trunk: str = "resnet50"
    width: float = 1.0
    local_input: Literal["slice", "full"] = "slice"
    local_head: Literal["conv5", "pointwise"] = "conv5"
    local_channels: int = 0
    heads: Literal["both", "global", "local"] = "both"
    pooling: Literal["average", "gem"] = "average"
    neck: Literal["none", "bn"] = "none"
    size: tuple[int, int] = (256, 128)
    local_pooling: LocalPooling = "average"
    local_levels: tuple[int, ...] = (COARSE,)
    local_join: Literal["concat", "sum"] = "concat"
    head: Literal["dsa", "plain", "pcb", "mgn"] = "dsa"
    patch_stride: int = 0
    global_feature: Literal["pooled", "token"] = "pooled"
    sie: float = 0.0
    unknown_camera: Literal["mean", "zero"] = "mean"
    cameras: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the values, which may come from a file."""
        if self.trunk.startswith(TIMM) or self.trunk in OSNETS:
            self._check_width()
        else:
            _one_of("trunk", self.trunk, (*RESNETS, *OSNETS, f"{TIMM}NAME"))
        _one_of("local_input", self.local_input, ("slice", "full"))
        _one_of("local_head", self.local_head, ("conv5", "pointwise"))
        _one_of("heads", self.heads, ("both", "global", "local"))
        _one_of("pooling", self.pooling, ("average", "gem"))
        _one_of("neck", self.neck, ("none", "bn"))
        _one_of("local_pooling", self.local_pooling, ("average", "regions", "stripes", "regions+stripes", "template"))
        _one_of("local_levels", list(self.local_levels), ([COARSE], [COARSE, FINE]))
        _one_of("local_join", self.local_join, ("concat", "sum"))
        _one_of("head", self.head, HEADS)
        self._check_head()
        _one_of("global_feature", self.global_feature, ("pooled", "token"))
        _one_of("unknown_camera", self.unknown_camera, ("mean", "zero"))
        self._check_vit()
        if self.heads == "global" and not self.pools_plainly:
            changes = {"local_pooling": "average", "local_levels": [COARSE]}
            raise SettingError(
                "local_pooling and local_levels are for local heads, and heads = 'global' has none.",
                changes,
                "use heads = 'both' or 'local'",
            )
        if self.local_channels and self.local_head != "pointwise":
            raise SettingError(
                "local_channels is for local_head = 'pointwise'; conv5_x has those of the global head.",
                {"local_channels": 0},
                "use local_head = 'pointwise'",
            )
        if (
            type(self.local_channels) is not int
            or not 0 <= self.local_channels <= MOST
            or self.local_channels % REGIONS
        ):
            raise ModelError(
                f"local_channels = {self.local_channels!r} is invalid: eight local heads share them. Use a multiple of "
                f"{REGIONS}, at most {MOST}, or 0."
            )
        if not (self.width > 0 and (STEM * self.width) % REGIONS == 0):
            raise ModelError(
                f"width = {self.width!r} is invalid: the {STEM} × width channels of conv1 must be divisible by "
                f"{REGIONS}. Use a multiple of {REGIONS / STEM}, as in 0.25 or 0.5."
            )

    def _check_vit(self) -> None:
        """Raise ModelError for settings of ViTs that no trunk, head or embedding has."""
        for name, value in (("patch_stride", self.patch_stride), ("sie", self.sie)):
            if not value >= 0:
                raise ModelError(f"{name} = {value!r} is invalid: expected a number above 0, or 0 to switch it off.")
        token = self.global_feature == "token"
        if self.vit_settings and not self.trunk.startswith(TIMM):
            raise for_vits_alone(self.vit_settings, f"the trunk is {self.trunk}")
        if token and self.heads == "local":
            raise SettingError(
                "global_feature = 'token' needs a global feature, and heads = 'local' has none.",
                {"global_feature": "pooled"},
                "use heads = 'both' or 'global'",
            )
        if token and self.heads == "global" and self.pooling == "gem":
            raise SettingError(
                "pooling = 'gem' has no maps with global_feature = 'token' and heads = 'global'.",
                {"pooling": "average"},
            )
        if not self.sie and (self.cameras or self.unknown_camera != "mean"):
            raise SettingError(
                "cameras and unknown_camera are for an embedding of the camera, and sie = 0 switches it off.",
                {"sie": 3.0},
                "leave cameras and unknown_camera out",
            )

    def _check_width(self) -> None:
        """Raise SettingError for a width of a trunk that has one alone."""
        if self.width == 1:
            return
        other = "; another width of OSNet is another trunk, as osnet_x0_5" if self.trunk in OSNETS else ""
        raise SettingError(
            f"width = {self.width!r} is invalid: it is for the trunks {', '.join(RESNETS)}, and {self.trunk} has "
            f"width 1 alone{other}.",
            {"width": 1.0},
        )

    def _check_head(self) -> None:
        """Raise ModelError if the head does not go with the other settings."""
        if self.head != "dsa" and self.heads != "global":
            raise SettingError(f"head = {self.head!r} has no local heads of body regions.", {"heads": "global"})
        if self.has_pieces and self.neck != "none":
            raise SettingError(f"neck = {self.neck!r} is for head 'dsa' or 'plain'.", {"neck": "none"})
        if self.head != "dsa" and self.global_feature == "token":
            raise SettingError(
                f"head = {self.head!r} pools a map, and global_feature = 'token' has none.", {"head": "dsa"}
            )
        if self.head == "mgn" and self.pooling != "average":
            raise SettingError("head = 'mgn' pools by the maximum.", {"pooling": "average"})
        if self.head == "mgn" and (self.trunk.startswith(TIMM) or self.trunk in OSNETS):
            others = ", ".join(name for name in RESNETS if name != "resnet50")
            raise SettingError(
                f"head = 'mgn' divides a ResNet after res4_1, and the trunk is {self.trunk}.",
                {"trunk": "resnet50"},
                f"use {others}",
            )

    @property
    def vit_settings(self) -> dict[str, object]:
        """The settings of plain ViTs that are in use, each with the value that switches it off."""
        return {name: value for name, value in VIT_OFF.items() if getattr(self, name) != value}

    @property
    def has_pieces(self) -> bool:
        """Whether the global feature is joined of pieces that have losses of their own."""
        return self.head in ("pcb", "mgn")

    @property
    def pools_plainly(self) -> bool:
        """Whether the local features are pooled as in the paper: the average, at one level."""
        return self.local_pooling == "average" and len(self.local_levels) == 1

    @property
    def predicts_regions(self) -> bool:
        """Whether there are region heads."""
        return "regions" in self.local_pooling


LATER = (
    *("local_pooling", "local_levels", "local_join", "local_head", "local_channels", "head"),
    *("patch_stride", "global_feature", "sie", "unknown_camera", "cameras"),
)
"""Settings that the first model files and checkpoints did not have."""


def written(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration of plain values without those of `LATER` that have their default values.

    Model files and checkpoints of networks that do not use them are the same as before there were these settings.
    """
    defaults = dataclasses.asdict(MainStreamConfig())
    return {
        name: value for name, value in config.items() if name not in LATER or _plain(value) != _plain(defaults[name])
    }


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def for_vits_alone(in_use: Mapping[str, object], instead: str) -> SettingError:
    """Return the error for settings of plain ViTs on another trunk.

    Args:
        in_use: these settings, each with the value that switches it off.
        instead: what the trunk is.
    """
    names = ["global_feature = 'token'" if name == "global_feature" else name for name in in_use]
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    verb, them = ("are", "them") if len(names) > 1 else ("is", "it")
    off = list(dict.fromkeys(f"{value!r}" if isinstance(value, str) else "0" for value in in_use.values()))
    switch = f"{' and '.join(off)} {'switch' if len(off) > 1 else 'switches'} {them} off"
    return SettingError(
        f"{listed} {verb} for timm's plain ViTs, and {instead}; {switch}.",
        in_use,
        "choose another trunk, as timm/vit_base_patch16_224",
    )


def _one_of(name: str, value: object, known: tuple[object, ...]) -> None:
    if value not in known:
        raise ModelError(f"{name} = {value!r} is invalid: expected {' or '.join(map(repr, known))}.")
