"""The settings of the network and of how it is computed; importing them does not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from dsa_app.config import config
from dsa_reid.config import MainStreamConfig


@config
class NetworkConfig:
    """The network that is trained; the defaults are the paper's full scheme.

    Attributes:
        main: the main stream, and which heads both streams have.
        weights: the trunk's pretrained weights: "imagenet", the path of a torchvision file or of a model.pt, or "none"
            (random); or the folder of a run of the same network, whose weights both streams take.
        conv5_init: whether the main stream's global head starts at random or from the same weights (ImageNet's
            conv5_x).
        guide: train with the guide stream.
        fusion: how z is made of f and d.
        apart: z is d alone: the losses on z train the guide only, and the main stream learns by its own losses and by
            distillation from the guide (`losses.teach`); the match "fused" then joins f and d.
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


@config
class SpeedConfig:
    """How the same arithmetic is carried out.

    Attributes:
        channels_last: memory layout of the maps of the trunk and of the branches, channels innermost; the guide's heads
            stay contiguous (the paper's conv5_g is slower channels-last), and so do narrow branches in a loop.
        compile: torch.compile of the whole network; "reduce-overhead" replays CUDA graphs.
        fused_optimiser: one kernel for Adam's whole update.
        checkpoint_branches: compute the branches a second time in the backward pass instead of keeping their maps.
        resident: keep the whole training split in the GPU's memory, where `memory` allows it.
    """

    channels_last: bool = True
    compile: Literal["off", "default", "reduce-overhead", "max-autotune"] = "off"
    fused_optimiser: bool = True
    checkpoint_branches: bool = False
    resident: bool = False
