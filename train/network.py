"""The two-stream network of figure 2: main stream, guide, fusion and classifiers joined for training."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from pydantic import PositiveInt
from torch import nn

from data.config import config
from dsa_reid.main_stream import REGIONS, Features, MainStream, MainStreamConfig, neck

from .classifiers import classifier
from .fusion import Concatenation, Sum
from .guide_stream import GuideStream


@config
class NetworkConfig:
    """The network that is trained; the defaults are the paper's full scheme.

    Attributes:
        main: the main stream, and which heads both streams have.
        weights: where the trunk's come from: "imagenet", a torchvision file's path, or "none" (random); or the folder
            of a run of the same network, which gives both streams theirs.
        conv5_init: whether the main stream's global head starts at random or from ImageNet's conv5_x.
        guide: train with the guide stream.
        fusion: how z is made of f and d.
        branches: how the guide's 24 branches are computed; the same to rounding.
        classifier_width: between the two FC layers of a classifier.
    """

    main: MainStreamConfig = MainStreamConfig()
    weights: str = "imagenet"
    conv5_init: Literal["random", "imagenet"] = "random"
    guide: bool = True
    fusion: Literal["sum", "concat"] = "sum"
    branches: Literal["grouped", "loop"] = "grouped"
    classifier_width: PositiveInt = 512


class Outputs(NamedTuple):
    """All that the losses see of a batch; what the configuration leaves out is None, or not in `logits`.

    Global features are (B, G), local ones (B, 8, G/8). `logits` (B, identities) are named after the feature:
    "f_global", "f_local_0" … "f_local_7", "z_global", "z_local" (of all eight together).
    """

    f_global: torch.Tensor | None
    f_local: torch.Tensor | None
    d_global: torch.Tensor | None
    d_local: torch.Tensor | None
    z_global: torch.Tensor | None
    z_local: torch.Tensor | None
    logits: dict[str, torch.Tensor]


class TwoStream(nn.Module):
    """The network as it is trained. Weights are drawn from torch's generator: seed it first.

    Attributes:
        main: what is kept after training.
        guide: None where there is none.
        memory_format: of the pictures, which the trunk's maps follow.
    """

    def __init__(self, config: NetworkConfig, identities: int) -> None:
        super().__init__()
        self.memory_format = torch.contiguous_format
        self.main = MainStream(config.main)
        width, heads = self.main.feature_width, config.main.heads
        self.guide: GuideStream | None = None
        self.fuse_global: Sum | Concatenation | None = None
        self.fuse_local: Sum | Concatenation | None = None
        if config.guide:
            self.guide = GuideStream(self.main.channels, width, heads, config.branches, config.main.pooling)
            self.fuse_global = _fusion(config.fusion, width) if heads != "local" else None
            self.fuse_local = _fusion(config.fusion, width) if heads != "global" else None
        self.necks = nn.ModuleDict()
        if config.guide and config.main.neck == "bn":
            self.necks.update({name: neck(width) for name in _classified(heads, True, width) if name.startswith("z")})
        self.classifiers = nn.ModuleDict(
            {
                name: classifier(inputs, config.classifier_width, identities)
                for name, inputs in _classified(heads, config.guide, width).items()
            }
        )

    def forward(self, images: torch.Tensor, parts: torch.Tensor | None = None) -> Outputs:
        """Compute features and logits.

        Args:
            images: normalised pictures, float (B, 3, H, W).
            parts: normalised DSAP pictures, float (B, 24, 3, S, S); not looked at without a guide.
        """
        f = self.main.features(images.contiguous(memory_format=self.memory_format))
        d = z = Features(None, None)
        if self.guide is not None:
            assert parts is not None, "a network with a guide is trained with part pictures"
            d = self.guide(parts)
            z = Features(_fused(self.fuse_global, f.global_, d.global_), _fused(self.fuse_local, f.local, d.local))
        logits = self._logits(self.main.after_necks(f), z)
        return Outputs(f.global_, f.local, d.global_, d.local, z.global_, z.local, logits)

    def _logits(self, f: Features, z: Features) -> dict[str, torch.Tensor]:
        features = {"f_global": f.global_, "z_global": self._after_neck("z_global", z.global_)}
        if f.local is not None:
            features |= {f"f_local_{i}": f.local[:, i] for i in range(REGIONS)}
        if z.local is not None:
            features["z_local"] = self._after_neck("z_local", z.local.flatten(1))  # (B, 8, G/8) -> (B, G)
        return {name: layers(features[name]) for name, layers in self.classifiers.items()}

    def _after_neck(self, name: str, z: torch.Tensor | None) -> torch.Tensor | None:
        return self.necks[name](z) if z is not None and name in self.necks else z


def _fusion(kind: str, width: int) -> Sum | Concatenation:
    return Sum() if kind == "sum" else Concatenation(width)


def _fused(fusion: Sum | Concatenation | None, f: torch.Tensor | None, d: torch.Tensor | None) -> torch.Tensor | None:
    return None if fusion is None else fusion(f, d)


def _classified(heads: str, guide: bool, width: int) -> dict[str, int]:
    """Return the features that have a classifier, with their dimensions: eleven in the full scheme."""
    found: dict[str, int] = {}
    if heads != "local":
        found["f_global"] = width
    if heads != "global":
        found |= {f"f_local_{i}": width // REGIONS for i in range(REGIONS)}
    if guide and heads != "local":
        found["z_global"] = width
    if guide and heads != "global":
        found["z_local"] = width
    return found
