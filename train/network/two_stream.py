"""The two-stream network of figure 3: main stream, guide, fusion and classifiers joined for training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import nn

from dsa_reid.config import REGIONS
from dsa_reid.main_stream import Features, Look, MainStream, neck
from dsa_reid.part_heads import Pieces
from dsa_reid.region_pooling import in_cells, label_shares, region_pooled
from dsa_reid.residual import initialise
from dsa_reid.timm_trunk import TimmTrunk

from .classifiers import classifier
from .config import NetworkConfig
from .fusion import Concatenation, Sum
from .guide_stream import GuideStream

LEAST_SEEN = 0.002  # share of the image from which on a region counts as seen in its labels


class Outputs(NamedTuple):
    """The features and logits of a batch; those that the configuration leaves out are None, or not in `logits`.

    Global features are (B, G), local ones (B, 8, G/8). `logits` (B, identities) are named after the feature:
    "f_global", "f_local_0" … "f_local_7", "z_global", "z_local" (of all eight together); or, where the local features
    are classified as a whole, "f_global", "f_foreground", "f_local".

    `t_local` (B, 8, G/8) are the local maps pooled by the labels of their regions, with logits "t_local_0" …, and
    `seen` bool (B, 8) says which regions the labels show; None without a region teacher. `regions` (B, 9, h, w) are the
    logits of the region heads by stride, and `visibility` (B, 8) is that of the regions; None without region heads.
    `centres` (identities, G) are those of the centre loss, by the name of their feature; None without it. A classifier
    with a margin gives cosines in place of logits.

    `pieces` are those that f_G is joined of, whose logits are "f_stripe_0" …, in the place of "f_global"; None where it
    is not joined of any.
    """

    f_global: torch.Tensor | None
    f_local: torch.Tensor | None
    d_global: torch.Tensor | None
    d_local: torch.Tensor | None
    z_global: torch.Tensor | None
    z_local: torch.Tensor | None
    logits: dict[str, torch.Tensor]
    regions: Mapping[int, torch.Tensor] | None = None
    visibility: torch.Tensor | None = None
    t_local: torch.Tensor | None = None
    seen: torch.Tensor | None = None
    centres: Mapping[str, torch.Tensor] | None = None
    pieces: Pieces | None = None


class TwoStream(nn.Module):
    """The network as it is trained. Initial weights are sampled from torch's generator: seed it first.

    Each part has a generator of its own, seeded by the network's seed and the part's name, so that two networks of one
    seed start from the same weights in every part that they share.

    Attributes:
        main: the main stream, which is deployed after training.
        guide: the guide stream, None where there is none.
        guide_weight: of d in z, a scalar; 1 unless the guide is faded out.
        memory_format: of the images, which the trunk's maps follow.
        centres: of each identity's z_G and z_L, without a guide f_G and f_L; empty without a centre loss.

    Args:
        identities: of the training.
        centres: whether there is a centre loss.
    """

    guide_weight: torch.Tensor

    def __init__(self, config: NetworkConfig, identities: int, centres: bool = False) -> None:
        super().__init__()
        seed = int(torch.randint(2**62, (), device="cpu"))
        self.memory_format = torch.contiguous_format
        self.register_buffer("guide_weight", torch.ones(()), persistent=False)
        self.apart, self.doubled = config.apart, config.doubled
        self.main = MainStream(config.main)
        if isinstance(self.main.trunk, TimmTrunk) and config.drop_path:
            self.main.trunk.drop_paths(config.drop_path)
        if not isinstance(self.main.trunk, TimmTrunk):  # which keeps timm's own initialisation
            _initialise_each(seed, trunk=self.main.trunk)
        _initialise_each(seed, global_head=self.main.global_head, local_head=self.main.local_head)
        _initialise_each(seed, local_pooling=self.main.local_pooling, part_head=self.main.part_head)
        heads = config.main.heads
        widths = {"global": self.main.feature_width, "local": self.main.local_width}
        self.guide: GuideStream | None = None
        self.fuse_global: Sum | Concatenation | None = None
        self.fuse_local: Sum | Concatenation | None = None
        if config.guide:
            guide = GuideStream(
                self.main.channels,
                widths["global"],
                heads,
                config.branches,
                config.main.pooling,
                widths["local"],
            )
            _initialise_each(seed, branches=guide.branches, conv5_g=guide.global_head, conv5_l=guide.local_head)
            self.guide = guide
            with _own_generator(seed, "fusion"):
                self.fuse_global = _fusion(config.fusion, widths["global"]) if heads != "local" else None
                self.fuse_local = _fusion(config.fusion, widths["local"]) if heads != "global" else None
        self.necks = nn.ModuleDict()
        pooling = self.main.local_pooling
        self.main.looks_at_foreground = (
            config.classified == "whole"
            and heads == "both"
            and self.main.global_head is not None
            and pooling is not None
            and pooling.has_foreground
        )
        inputs = _classifier_inputs(
            self.main.parts, config.guide or config.doubled, config.classified, self.main.looks_at_foreground
        )
        if self.main.part_head is not None:
            del inputs["f_global"]
            inputs = {f"f_{name}": width for name, width in self.main.part_head.classified.items()} | inputs
        if config.main.neck == "bn":
            self.necks.update({name: neck(width) for name, width in inputs.items() if name.startswith("z")})
        self.region_teacher = config.region_teacher
        if config.region_teacher:
            inputs |= {f"t_local_{i}": widths["local"] // REGIONS for i in range(REGIONS)}
        self.classifiers = nn.ModuleDict()
        for name, dimensions in inputs.items():
            with _own_generator(seed, name):
                self.classifiers[name] = classifier(dimensions, config.classifier_width, identities, config.classifier)
        self.centres = nn.ParameterDict()
        if centres:
            matched = "z" if config.guide or config.doubled else "f"
            for head, width in self.main.parts.items():
                with _own_generator(seed, f"centres of {head}"):
                    self.centres[f"{matched}_{head}"] = nn.Parameter(torch.randn(identities, width))

    def forward(
        self,
        images: torch.Tensor,
        parts: torch.Tensor | None = None,
        unguided: torch.Tensor | None = None,
        regions: torch.Tensor | None = None,
        cameras: torch.Tensor | None = None,
    ) -> Outputs:
        """Compute features and logits.

        Args:
            images: normalised, float (B, 3, H, W).
            parts: normalised DSAP part images, float (B, 24, 3, S, S); not used without a guide.
            unguided: bool (B,), images whose z is f alone; None for none.
            regions: labels, uint8 (B, H, W), for a region teacher; not used without.
            cameras: as for `MainStream.look`.
        """
        look = self.main.look(images.contiguous(memory_format=self.memory_format), cameras=cameras)
        f = look.features
        d = z = Features(None, None)
        if self.guide is not None:
            assert parts is not None, "a network with a guide is trained with part images"
            d = self.guide(parts)
            z = d if self.apart else self._fused(f, d, unguided)
        elif self.doubled:
            z = f
        t, seen = self._teacher(look, regions) if self.region_teacher else (None, None)
        logits = self._logits(self.main.after_necks(f), z, look, t)
        streams = (f.global_, f.local, d.global_, d.local, z.global_, z.local)
        centres = dict(self.centres.items()) or None
        return Outputs(*streams, logits, look.logits or None, look.visibility, t, seen, centres, look.pieces)

    def _teacher(
        self, look: Look, regions: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor] | tuple[None, None]:
        """Return t_L (B, 8, G/8) and which regions the labels show, bool (B, 8); where they do not, t is f."""
        if regions is None:  # as in an evaluation
            return None, None
        assert look.local_maps is not None, "the configuration has refused all others"
        assert look.features.local is not None, "a network with local maps has local features"
        h, w = look.local_maps.shape[2:]
        shares = in_cells(label_shares(regions), (h, w))[:, 1:]  # (B, 8, h, w)
        seen = shares.mean((2, 3)) >= LEAST_SEEN
        pooled = region_pooled(look.local_maps, shares, self.main.pool)
        return torch.where(seen[..., None], pooled, look.features.local), seen

    def _fused(self, f: Features, d: Features, unguided: torch.Tensor | None) -> Features:
        """Return z_G and z_L, f and d joined (section 3.2.3)."""
        weight = self.guide_weight
        if unguided is not None:
            weight = weight * ~unguided[:, None]  # (B, 1)
        whole = None if d.global_ is None else _join(self.fuse_global, f.global_, weight * d.global_)
        of_parts = weight if unguided is None else weight[:, None]  # (B, 1, 1)
        parts = None if d.local is None else _join(self.fuse_local, f.local, of_parts * d.local)
        return Features(whole, parts)

    def _logits(self, f: Features, z: Features, look: Look, t: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Return the logits (B, identities) of every feature that has a classifier."""
        features = {"f_global": f.global_, "z_global": self._after_neck("z_global", z.global_)}
        features["f_foreground"] = look.foreground
        if look.pieces is not None:
            features |= {f"f_{name}": piece for name, piece in look.pieces.classified.items()}
        if f.local is not None:
            features |= {"f_local": f.local.flatten(1), **{f"f_local_{i}": f.local[:, i] for i in range(REGIONS)}}
        if t is not None:
            features |= {f"t_local_{i}": t[:, i] for i in range(REGIONS)}
        if z.local is not None:
            features["z_local"] = self._after_neck("z_local", z.local.flatten(1))  # (B, 8, G/8) -> (B, G)
        # Without labels, as in an evaluation, the region teacher's classifiers have nothing to classify.
        return {name: layers(features[name]) for name, layers in self.classifiers.items() if name in features}

    def _after_neck(self, name: str, z: torch.Tensor | None) -> torch.Tensor | None:
        if z is None or name not in self.necks:
            return z
        normalised: torch.Tensor = self.necks[name](z)
        return normalised


def _fusion(kind: str, width: int) -> Sum | Concatenation:
    return Sum() if kind == "sum" else Concatenation(width)


def _join(fusion: Sum | Concatenation | None, f: torch.Tensor | None, d: torch.Tensor) -> torch.Tensor:
    assert fusion is not None, "both streams have the same heads"
    joined: torch.Tensor = fusion(f, d)
    return joined


@contextmanager
def _own_generator(seed: int, part: str) -> Iterator[None]:
    """Sample the initial weights of one part from a generator of its own while the context lasts."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed} {part}".encode()).digest()[:7]))
        yield


def _initialise_each(seed: int, **parts: nn.Module | None) -> None:
    """Initialise the convolutions of each part from its own generator; a part that is left out is None."""
    for name, part in parts.items():
        if part is not None:
            with _own_generator(seed, name):
                initialise(part)


def _classifier_inputs(parts: Mapping[str, int], fused: bool, classified: str, foreground: bool) -> dict[str, int]:
    """Return the features that have a classifier, with their dimensions: eleven in the full scheme.

    Args:
        parts: of the main stream, with their dimensions.
        fused: whether there is a z.
        classified: see `NetworkConfig`.
        foreground: whether there is a foreground feature.
    """
    inputs: dict[str, int] = {}
    if "global" in parts:
        inputs["f_global"] = parts["global"]
    if foreground:
        inputs["f_foreground"] = parts["global"]
    if "local" in parts and classified == "whole":
        inputs["f_local"] = parts["local"]
    elif "local" in parts:
        inputs |= {f"f_local_{i}": parts["local"] // REGIONS for i in range(REGIONS)}
    if fused:
        inputs |= {f"z_{head}": width for head, width in parts.items()}
    return inputs
