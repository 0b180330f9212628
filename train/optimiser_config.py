"""The settings of the optimiser; importing them does not import torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from dsa_app.config import config


@config
class OptimiserConfig:
    """How gradients change the weights; the defaults are the paper's Adam. `train.weight_decay` is for all kinds.

    Attributes:
        kind: "adam" adds the decay to the gradient; "adamw" subtracts it from the weights (Loshchilov and Hutter 2019);
            "sgd" is stochastic gradient descent with momentum.
        momentum: of sgd.
        nesterov: of sgd (Sutskever et al. 2013).
        spare: no weight decay for norms, biases, and what timm excludes for its trunk (class token, embeddings).
        layer_decay: of a timm trunk: each layer's learning rate relative to the next one's (Clark et al. 2020; Bao et
            al. 2022, BEiT); 1 for one rate.
        trunk: the trunk's learning rate relative to that of the layers that start at random. A conv5_x that starts
            from the same weights (`network.conv5_init`) has it too.
        clip: the gradient's greatest length, of all weights together (Pascanu et al. 2013); 0 for none.
    """

    kind: Literal["adam", "adamw", "sgd"] = "adam"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    spare: bool = False
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    trunk: PositiveFloat = 1.0
    clip: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        """Check that Nesterov's momentum has an optimiser that has it."""
        if self.nesterov and (self.kind != "sgd" or not self.momentum):
            raise ValueError("nesterov = true needs kind = sgd and a momentum")
