"""Which tensor of a file is which weight of the trunk, how many match, and the report of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from dsa_app.errors import CheckpointError

from .weights_file import Source
from .weights_layouts import ORDER, Target, Weights, candidates

ENOUGH = 0.9  # the part of a trunk's weights that must be in a file
SHOWN = 4  # names of each kind that a line has
RESIZED = ("pos_embed", "relative_position_bias_table", "patch_embed.proj.weight")  # what conversions interpolate
COUNTER = "num_batches_tracked"  # which old files do not have, and nothing depends on


class Pretrained(NamedTuple):
    """Where a network's pretrained weights come from, and which of them it has.

    Attributes:
        source: `train.network.weights`, or of a file its name alone.
        sha256: of the file; "" for weights that timm loads.
        layout: the names in the file: prefix and layout.
        wanted: how many weights the trunk has.
        missing: of these, those that are not in the file and stay random.
        interpolated: those that were interpolated to the trunk's size.
        unused: weights in the file that are not the trunk's.
    """

    source: str
    sha256: str
    layout: str
    wanted: int
    missing: tuple[str, ...] = ()
    interpolated: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def stored(self) -> dict[str, Any]:
        """Return what model.pt and checkpoint.pt keep, plain values in a fixed order."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self._asdict().items()}

    def __str__(self) -> str:
        """Return the line that is printed."""
        line = f"Pretrained weights of {self.source}: {self.wanted - len(self.missing)} of {self.wanted} match"
        line += f" ({self.layout})" if self.layout else ""
        kinds = {"random": self.missing, "interpolated": self.interpolated, "not used": self.unused}
        return "; ".join([line, *(f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names)]) + "."


class Match(NamedTuple):
    """The weights that a trunk takes from a file, by the trunk's names, with the report."""

    weights: Weights
    report: Pretrained


def match(source: Source, target: Target, trunk: str) -> Match:
    """Return the weights of a trunk in a file: of all prefixes and layouts, those with the most.

    Args:
        trunk: its name, for the error.

    Raises CheckpointError if less than `ENOUGH` of the weights are there, or not the layer that reads the image.
    """
    wanted = {name: value for name, value in target.wanted.items() if value.is_floating_point()}
    best: tuple[str, str, Weights, Weights] = ("", "", {}, {})
    for prefix, layout, converted in candidates(source.weights, target):
        fitting = {
            name: converted[name]
            for name, value in target.wanted.items()
            if name in converted and converted[name].shape == value.shape
        }
        if len(fitting.keys() & wanted.keys()) > len(best[2].keys() & wanted.keys()):
            best = (prefix, layout, fitting, converted)
        if len(fitting.keys() & wanted.keys()) == len(wanted):
            break
    prefix, layout, fitting, converted = best
    missing = tuple(name for name in wanted if name not in fitting)
    _check_enough(source, wanted, missing, trunk)
    for name, value in fitting.items():
        if value.is_floating_point() and not value.isfinite().all():
            raise CheckpointError(
                f"{source.path} has values that are not finite ({name}). Set train.network.weights to another file."
            )
    outside = [name for name in source.weights if not name.startswith(prefix)]
    inside = [name for name in converted if name not in target.wanted]
    if layout == ORDER:
        outside, inside = [], list(source.weights)[len(target.wanted) :]
    unused = tuple(name for name in (*inside, *outside) if not name.endswith(COUNTER))
    named = " ".join(part for part in (f"prefix {prefix}" if prefix else "", layout) if part)
    resized = _interpolated(source.weights, fitting)
    return Match(fitting, Pretrained(source.path.name, source.sha256, named, len(wanted), missing, resized, unused))


def _check_enough(source: Source, wanted: Mapping[str, torch.Tensor], missing: tuple[str, ...], trunk: str) -> None:
    """Raise CheckpointError unless enough of the weights are in the file, the first layer's among them."""
    first = next((name for name, value in wanted.items() if value.ndim == 4 and value.shape[1] == 3), None)
    matched = len(wanted) - len(missing)
    if matched >= ENOUGH * len(wanted) and first not in missing:
        return
    why = f"{matched} of the trunk's {len(wanted)} weights match, at least {ENOUGH:.0%} are needed"
    if matched >= ENOUGH * len(wanted):
        why = f"it has no {first} of the right shape, the layer that reads the image"
    raise CheckpointError(
        f"{source.path} does not fit {trunk}: {why}. The file has {_listed(tuple(source.weights))}. The trunk has "
        f"{_listed(tuple(wanted))}; not in the file: {_listed(missing)}. Set train.network.main.trunk and width to "
        "those of the file, or train.network.weights to another file."
    )


def _interpolated(theirs: Weights, fitting: Weights) -> tuple[str, ...]:
    """Return the weights of kinds that conversions resize, of which the file has none of the same size."""
    sizes = {value.numel() for value in theirs.values()}
    return tuple(name for name, value in fitting.items() if name.endswith(RESIZED) and value.numel() not in sizes)


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
