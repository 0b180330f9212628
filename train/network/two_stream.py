"""The two-stream network of figure 3: main stream, guide, fusion and classifiers joined for training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from pydantic import PositiveInt
from torch import nn

from dsa_app.config import config
from dsa_reid.main_stream import REGIONS, Features, MainStream, MainStreamConfig, neck
from dsa_reid.residual import initialise
from dsa_reid.timm_trunk import TimmTrunk

from .classifiers import classifier
from .fusion import Concatenation, Sum
from .guide_stream import GuideStream


@config
class NetworkConfig:
    """The network that is trained; the defaults are the paper's full scheme.

    Attributes:
        main: the main stream, and which heads both streams have.
        weights: where the trunk's come from: "imagenet", the path of a torchvision file or of a model.pt, or "none"
            (random); or the folder of a run of the same network, which gives both streams theirs.
        conv5_init: whether the main stream's global head starts at random or from the same weights (ImageNet's
            conv5_x).
        guide: train with the guide stream.
        fusion: how z is made of f and d.
        apart: z is d alone: what is asked of z trains the guide, and the main stream learns by its own losses and by
            what the guide teaches (`losses.teach`); the match "fused" then joins f and d.
        doubled: without a guide, z = f, classified once more: the guide's losses without the guide (a control).
        branches: how the guide's 24 branches are computed; the same to rounding.
        classifier_width: between the two FC layers of a classifier.
    """

    main: MainStreamConfig = MainStreamConfig()
    weights: str = "imagenet"
    conv5_init: Literal["random", "imagenet"] = "random"
    guide: bool = True
    fusion: Literal["sum", "concat"] = "sum"
    apart: bool = False
    doubled: bool = False
    branches: Literal["grouped", "loop"] = "grouped"
    classifier_width: PositiveInt = 512

    def __post_init__(self) -> None:
        """Check that the settings do not contradict each other."""
        if self.apart and not self.guide:
            raise ValueError("apart = true needs a guide")
        if self.doubled and self.guide:
            raise ValueError("doubled = true is for a network without a guide")


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

    Each part is drawn by itself, so that networks of one seed have the same in all parts that they share.

    Attributes:
        main: what is kept after training.
        guide: None where there is none.
        guide_weight: of d in z, a scalar; 1 unless the guide is faded out.
        memory_format: of the pictures, which the trunk's maps follow.
    """

    guide_weight: torch.Tensor

    def __init__(self, config: NetworkConfig, identities: int) -> None:
        super().__init__()
        seed = int(torch.randint(2**62, (), device="cpu"))
        self.memory_format = torch.contiguous_format
        self.register_buffer("guide_weight", torch.ones(()), persistent=False)
        self.apart, self.doubled = config.apart, config.doubled
        self.main = MainStream(config.main)
        if not isinstance(self.main.trunk, TimmTrunk):  # which stays as timm drew it
            _draw_again(seed, trunk=self.main.trunk)
        _draw_again(seed, global_head=self.main.global_head, local_head=self.main.local_head)
        width, heads = self.main.feature_width, config.main.heads
        self.guide: GuideStream | None = None
        self.fuse_global: Sum | Concatenation | None = None
        self.fuse_local: Sum | Concatenation | None = None
        if config.guide:
            guide = GuideStream(self.main.channels, width, heads, config.branches, config.main.pooling)
            _draw_again(seed, branches=guide.branches, conv5_g=guide.global_head, conv5_l=guide.local_head)
            self.guide = guide
            with _drawn(seed, "fusion"):
                self.fuse_global = _fusion(config.fusion, width) if heads != "local" else None
                self.fuse_local = _fusion(config.fusion, width) if heads != "global" else None
        self.necks = nn.ModuleDict()
        classified = _classified(heads, config.guide or config.doubled, width)
        if config.main.neck == "bn":
            self.necks.update({name: neck(width) for name in classified if name.startswith("z")})
        self.classifiers = nn.ModuleDict()
        for name, inputs in classified.items():
            with _drawn(seed, name):
                self.classifiers[name] = classifier(inputs, config.classifier_width, identities)

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
            z = d if self.apart else self._fused(f, d)
        elif self.doubled:
            z = f
        logits = self._logits(self.main.after_necks(f), z)
        return Outputs(f.global_, f.local, d.global_, d.local, z.global_, z.local, logits)

    def _fused(self, f: Features, d: Features) -> Features:
        weight = self.guide_weight
        whole = None if d.global_ is None else _join(self.fuse_global, f.global_, weight * d.global_)
        parts = None if d.local is None else _join(self.fuse_local, f.local, weight * d.local)
        return Features(whole, parts)

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


def _join(fusion: Sum | Concatenation | None, f: torch.Tensor | None, d: torch.Tensor) -> torch.Tensor:
    assert fusion is not None, "both streams have the same heads"
    joined: torch.Tensor = fusion(f, d)
    return joined


@contextmanager
def _drawn(seed: int, part: str) -> Iterator[None]:
    """Draw the weights of one part from a generator of its own, whatever else the network has."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed} {part}".encode()).digest()[:7]))
        yield


def _draw_again(seed: int, **parts: nn.Module | None) -> None:
    """Draw the convolutions of parts by themselves; a part that is left out is None."""
    for name, part in parts.items():
        if part is not None:
            with _drawn(seed, name):
                initialise(part)


def _classified(heads: str, fused: bool, width: int) -> dict[str, int]:
    """Return the features that have a classifier, with their dimensions: eleven in the full scheme."""
    found: dict[str, int] = {}
    if heads != "local":
        found["f_global"] = width
    if heads != "global":
        found |= {f"f_local_{i}": width // REGIONS for i in range(REGIONS)}
    if fused and heads != "local":
        found["z_global"] = width
    if fused and heads != "global":
        found["z_local"] = width
    return found
