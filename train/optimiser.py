"""The optimiser: which weights have which learning rate and decay, and the update."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from dsa_app.assignments import assignments
from dsa_app.errors import ConfigError
from dsa_reid.timm_trunk import TimmTrunk

from .config import TrainConfig
from .losses.centre import move_centres
from .network.two_stream import TwoStream
from .schedule import learning_rate, region_rate

TRUNK = "main.trunk."
PRETRAINED_HEADS = ("main.global_head.", "main.part_head.branches.")  # by `conv5_init` = "imagenet"
CENTRES = "centres."  # of the centre loss, which are moved apart from all others
HEADS = "main.local_pooling.heads."  # of the regions, which have a rate of their own


class Group(NamedTuple):
    """What the weights of a group have in common.

    Attributes:
        heads: whether they are those of the region heads.
        scale: their learning rate relative to the schedule's.
        decayed: whether weight decay is for them.
    """

    heads: bool
    scale: float
    decayed: bool

    def rate(self, epoch: int, config: TrainConfig) -> float:
        """Return the learning rate of one epoch, counted from 0."""
        if self.heads:
            return region_rate(epoch, config.regions.lr, config.schedule)
        return self.scale * learning_rate(epoch, config.schedule)


def grouped(network: TwoStream, config: TrainConfig) -> dict[Group, list[nn.Parameter]]:
    """Return the weights by groups, both in the network's order; with the default settings all others, then the heads.

    Centres are in none of them (`losses.centre`).

    Raises ConfigError if layer-wise decay is asked for a trunk that is not timm's.
    """
    scales, spared = _of_trunk(network, config)
    groups: dict[Group, list[nn.Parameter]] = {}
    for name, weight in network.named_parameters():
        if name.startswith(CENTRES):
            continue
        decayed = not config.optimiser.spare or (weight.ndim > 1 and name not in spared)
        group = Group(name.startswith(HEADS), scales.get(name, 1.0), decayed)
        groups.setdefault(group, []).append(weight)
    return groups


def make_optimiser(groups: dict[Group, list[nn.Parameter]], config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of groups, whose rates are set for each epoch by `set_rates`."""
    settings, decay = config.optimiser, config.weight_decay
    # A group that has all that the optimiser has by default names none of it.
    parameters = [
        {"params": weights, **({} if group.decayed else {"weight_decay": 0.0})} for group, weights in groups.items()
    ]
    lr, fused = learning_rate(0, config.schedule), config.speed.fused_optimiser
    if settings.kind == "sgd":
        return torch.optim.SGD(
            parameters, lr, settings.momentum, weight_decay=decay, nesterov=settings.nesterov, fused=fused
        )
    kind = torch.optim.AdamW if settings.kind == "adamw" else torch.optim.Adam
    return kind(parameters, lr=lr, weight_decay=decay, fused=fused)


def set_rates(
    optimiser: torch.optim.Optimizer, groups: dict[Group, list[nn.Parameter]], epoch: int, config: TrainConfig
) -> None:
    """Set the learning rates of an epoch."""
    for made, group in zip(optimiser.param_groups, groups, strict=True):
        made["lr"] = group.rate(epoch, config)


def update(optimiser: torch.optim.Optimizer, network: TwoStream, config: TrainConfig) -> None:
    """Change the weights by their gradients, clipped if the settings say so; centres by theirs."""
    if config.optimiser.clip:
        weights = [weight for name, weight in network.named_parameters() if not name.startswith(CENTRES)]
        nn.utils.clip_grad_norm_(weights, config.optimiser.clip)
    optimiser.step()
    move_centres(network.centres, config.losses)


def _of_trunk(network: TwoStream, config: TrainConfig) -> tuple[dict[str, float], set[str]]:
    """Return the trunk's learning rates relative to the schedule's, and those of its weights that timm never decays."""
    settings, trunk = config.optimiser, network.main.trunk
    depths: dict[str, int] = {}
    spared: set[str] = set()
    if isinstance(trunk, TimmTrunk) and (settings.layer_decay != 1 or settings.spare):
        depths, spared = trunk.layers()
    elif settings.layer_decay != 1:
        raise ConfigError(
            f"train.optimiser.layer_decay={settings.layer_decay} is for timm trunks, this is "
            f"{config.network.main.trunk}. Choose a timm trunk, as timm/resnet50, or add: "
            + assignments({"train.optimiser.layer_decay": 1})
        )
    scales = {
        f"{TRUNK}{name}": settings.trunk * settings.layer_decay ** depths.get(name, 0)
        for name, _ in trunk.named_parameters()
        if name != "sie" and not name.startswith("project.")  # which start at random, and have the rate of the heads
    }
    if config.network.conv5_init == "imagenet":
        heads = [name for name, _ in network.named_parameters() if name.startswith(PRETRAINED_HEADS)]
        scales |= dict.fromkeys(heads, settings.trunk)
    return scales, {f"{TRUNK}{name}" for name in spared}
