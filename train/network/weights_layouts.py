"""Names of weights in other projects' files, as functions from one state dict to another that the trunk may know.

A new layout is a function and a line of `LAYOUTS`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import nn

Weights = dict[str, torch.Tensor]

WORDS = 4  # of a prefix, at most
COPIES = ("encoder_k", "momentum", "student", "ema")  # in a prefix: networks of which a better copy may be there
FEWEST = 0.3  # the part of the trunk's number of weights that must be under a prefix for it to be tried
ORDER = "order"  # the name of the last layout


class Target(NamedTuple):
    """The trunk that weights are for.

    Attributes:
        wanted: its weights by the names of torchvision, torchreid or timm, in the order of its layers.
        aliases: other names of these weights.
        model: timm's whole model on the meta device, whose own conversion is used; None for other trunks.
    """

    wanted: Mapping[str, torch.Tensor]
    aliases: Mapping[str, str]
    model: nn.Module | None = None


def prefixes(names: Sequence[str], wanted: int) -> list[str]:
    """Return the prefixes under which a network of `wanted` weights may be, "" included; copies of others last."""
    counts: dict[str, int] = {}
    for name in names:
        words = name.split(".")
        for length in range(min(WORDS, len(words) - 1) + 1):
            prefix = "".join(f"{word}." for word in words[:length])
            counts[prefix] = counts.get(prefix, 0) + 1
    likely = [prefix for prefix, count in counts.items() if count >= FEWEST * wanted]
    return sorted(likely, key=lambda prefix: (any(word in prefix for word in COPIES), len(prefix)))


def candidates(weights: Weights, target: Target) -> Iterator[tuple[str, str, Weights]]:
    """Yield the ways to read a file's weights: prefix, layout, and the weights under names that the trunk may know."""
    tried = prefixes(list(weights), len(target.wanted))
    for layout, convert in LAYOUTS.items():
        for prefix in tried:
            under = {name[len(prefix) :]: value for name, value in weights.items() if name.startswith(prefix)}
            renamed = {target.aliases.get(name, name): value for name, value in under.items()}
            try:
                converted = convert(renamed, target)
            except Exception:  # timm's conversions raise whatever on names that they are not for
                continue
            if converted:
                yield prefix, layout, converted


def _own(weights: Weights, target: Target) -> Weights:
    """The trunk's own names: torchvision, torchreid, fast-reid, MoCo, LUPerson, TransReID, timm."""
    return weights


def _timm(weights: Weights, target: Target) -> Weights | None:
    """Names that timm converts for the model: CLIP's visual half, DINOv2, original Swin; sizes are interpolated."""
    if target.model is None:
        return None
    convert = getattr(sys.modules[type(target.model).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return None
    converted: Weights = convert(_with_our_grid(weights, target.model), target.model)
    return converted


def _clip(weights: Weights, target: Target) -> Weights | None:
    """CLIP's visual half without "visual.", as CLIP-ReID's files have it under "image_encoder."."""
    if "class_embedding" not in weights:
        return None
    return _timm({f"visual.{name}": value for name, value in weights.items()}, target)


SWIN = (
    (r"^stages\.", "layers."),
    (r"^patch_embed\.projection\.", "patch_embed.proj."),
    (r"\.attn\.w_msa\.", ".attn."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
)
"""SOLIDER's names, which are OpenMMLab's, to those of the original Swin."""


def _open_mmlab_swin(weights: Weights, target: Target) -> Weights | None:
    """Swin as OpenMMLab and SOLIDER have it (`swin_converter` of SOLIDER-REID, backwards)."""
    if not any(".attn.w_msa." in name for name in weights):
        return None
    original: Weights = {}
    for name, value in weights.items():
        for pattern, replacement in SWIN:
            name = re.sub(pattern, replacement, name)
        original[name] = _merged_by_place(value) if ".downsample." in name else value
    return _timm(original, target)


def _merged_by_place(value: torch.Tensor) -> torch.Tensor:
    """Reorder the inputs of a patch merging, its last dimension 4·C, from OpenMMLab's order to the original one.

    OpenMMLab takes each channel's four pixels, row by row (`nn.Unfold`); the original takes all channels of each
    pixel, column by column.
    """
    pixels = value.unflatten(-1, (-1, 4)).transpose(-1, -2)  # (…, 4·C) -> (…, 4, C)
    reordered: torch.Tensor = pixels[..., [0, 2, 1, 3], :].flatten(-2)
    return reordered


def _by_order(weights: Weights, target: Target) -> Weights | None:
    """Other names for the same layers: every weight has the kind and the shape of the one at its place in the trunk."""
    theirs = [(name, value) for name, value in weights.items() if value.is_floating_point()]
    wanted = [(name, value) for name, value in target.wanted.items() if value.is_floating_point()]
    if len(theirs) < len(wanted):
        return None
    converted: Weights = {}
    for (name, value), (own, like) in zip(theirs, wanted, strict=False):
        if name.rpartition(".")[2] != own.rpartition(".")[2] or value.shape != like.shape:
            return None
        converted[own] = value
    return converted


LAYOUTS: dict[str, Callable[[Weights, Target], Weights | None]] = {
    "own names": _own,
    "timm's conversion": _timm,
    "CLIP": _clip,
    "OpenMMLab's Swin": _open_mmlab_swin,
    ORDER: _by_order,
}
"""By the name that the report gives them; the first of those that match equally is taken."""


def _with_our_grid(weights: Weights, model: Any) -> Weights:
    """Interpolate a position embedding whose grid is not square to the model's grid; timm takes all others for squares.

    TransReID's (Luo et al. 2021) is of 16×8 or, with stride 12, 21×10 patches: its grid is the one whose aspect is next
    to that of the model's.
    """
    own = getattr(model, "pos_embed", None)
    key = next((key for key in ("pos_embed", "visual.positional_embedding") if key in weights), None)
    if own is None or key is None:
        return weights
    height, width = model.patch_embed.grid_size
    value = weights[key]
    theirs = value if value.ndim == own.ndim else value[None]  # CLIP's has no batch
    extra = own.shape[1] - height * width  # tokens of the class and registers, which come first
    count = theirs.shape[1] - extra
    if theirs.shape == own.shape or count < 1 or round(count**0.5) ** 2 == count:
        return weights
    from timm.layers.pos_embed import resample_abs_pos_embed

    grid = grid_of(count, height / width)
    resized = resample_abs_pos_embed(theirs, [height, width], list(grid), num_prefix_tokens=extra)
    return weights | {key: resized.view(-1, value.shape[-1]) if value.ndim < own.ndim else resized}


def grid_of(count: int, aspect: float) -> tuple[int, int]:
    """Return the rows and columns of `count` patches whose rows / columns are next to `aspect`."""
    grids = [(count // columns, columns) for columns in range(1, count + 1) if count % columns == 0]
    return min(grids, key=lambda grid: abs(math.log(grid[0] / grid[1] / aspect)))
