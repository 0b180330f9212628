"""The settings of the network and of how it is computed; importing them does not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config
from dsa_reid.config import TIMM, MainStreamConfig
from dsa_reid.errors import SettingError

Classifier = Literal["hidden", "linear", "circle", "arcface", "cosface"]
Grouped = Literal["convolution", "product", "dense"]


@config
class NetworkConfig:
    """The network that is trained; the defaults are the paper's full scheme.

    Attributes:
        main: the main stream, and which heads both streams have.
        weights: the trunk's pretrained weights: "imagenet", a file in any layout of docs/design/weights.md,
            "hf-hub:OWNER/NAME", "timm/NAME" for timm's weights of another name, or "none" (random); or the folder of a
            run of the same network, whose weights both streams take.
        colours: mean and deviation that images are normalised by: those of the pretrained weights, ImageNet's, 0.5, or
            CLIP's.
        conv5_init: whether the main stream's global head starts at random or from the same weights (ImageNet's
            conv5_x).
        guide: train with the guide stream.
        fusion: how z is made of f and d.
        apart: z is d alone: the losses on z train the guide only, and the main stream learns by its own losses and by
            distillation from the guide (`losses.teach`); the match "fused" then joins f and d.
        doubled: without a guide, z = f, classified once more: the guide's losses without the guide (a control).
        region_teacher: in training, each local map is also pooled by the labels of its region, to a feature t_L,i with
            a classifier of its own, and f_L,i learns from it (`losses.region_teacher`; after MPN, Ding et al. 2020).
        classified: the main stream's features that have an identity classifier: the global and "each" local one as in
            the paper, or the global one, the foreground's (if regions are known) and the eight local ones as a
            "whole" (Somers et al. 2023, section 3.3).
        branches: how the guide's 24 branches are computed; the same to rounding.
        classifier_width: between the two FC layers of a "hidden" classifier.
        classifier: of identities: "hidden" is the paper's two FC layers, "linear" one FC layer without bias (Luo et al.
            2019); "circle" (Sun et al. 2020), "arcface" (Deng et al. 2019) and "cosface" (Wang et al. 2018) compare the
            directions of feature and identity, with a margin in the loss (`losses.id_margin`, `losses.id_scale`).
        drop_path: of a timm trunk: the part of the last block's residual branches that are left out in training, rising
            from 0 at the first (Huang et al. 2016); 0.1 for most published ViTs.
    """

    main: MainStreamConfig = MainStreamConfig()
    weights: str = "imagenet"
    colours: Literal["weights", "imagenet", "half", "clip"] = "weights"
    conv5_init: Literal["random", "imagenet"] = "random"
    guide: bool = True
    fusion: Literal["sum", "concat"] = "sum"
    apart: bool = False
    doubled: bool = False
    region_teacher: bool = False
    classified: Literal["each", "whole"] = "each"
    branches: Literal["grouped", "loop"] = "grouped"
    classifier_width: PositiveInt = 512
    classifier: Classifier = "hidden"
    drop_path: float = Field(default=0.0, ge=0, lt=1)

    def __post_init__(self) -> None:
        """Check that the settings do not contradict each other."""
        if self.drop_path and not self.main.trunk.startswith(TIMM):
            raise SettingError(
                f"drop_path = {self.drop_path} is for timm trunks, the trunk is {self.main.trunk}.",
                {"drop_path": 0},
                "choose a timm trunk, as timm/convnext_tiny",
            )
        if self.apart and not self.guide:
            raise ValueError("apart = true needs a guide")
        if self.doubled and self.guide:
            raise ValueError("doubled = true is for a network without a guide")
        if self.region_teacher and (self.main.heads == "global" or not self.main.pools_plainly):
            raise ValueError("region_teacher = true is for local heads with local_pooling = average at one level")


@config
class RegionConfig:
    """How the region heads learn, where the local features are pooled by regions (`main.local_pooling`).

    Attributes:
        labels: the regions of each image's own map, or for a control those of another person's image ("other"), the
            same one throughout the training.
        weight: of the loss against the labels; 0 without labels.
        smoothing: of the labels.
        detach: the heads read the trunk's maps detached, so that this loss does not change the trunk.
        steer: the losses on the features change the heads too, through the weights of the pooling.
        lr: the heads' learning rate, which has no warm-up and then falls as the schedule's.
        fit: steps in which the heads are fitted before the first epoch, on maps of the pretrained trunk; 0 for none.
        fit_images: how many images of the first epoch these maps are of, in whole batches.
        fit_lr: the learning rate there, which falls along a cosine.
        ramp: epochs over which local pooling goes from the average to regions; 0 pools by regions from the start.
        confidence: the loss weights each pixel of the labels by the confidence of its map.
    """

    labels: Literal["own", "other"] = "own"
    weight: NonNegativeFloat = 1.0
    smoothing: float = Field(default=0.0, ge=0, lt=1)
    detach: bool = True
    steer: bool = False
    lr: PositiveFloat = 1e-3
    fit: NonNegativeInt = 600
    fit_images: PositiveInt = 2048
    fit_lr: PositiveFloat = 1e-2
    ramp: NonNegativeInt = 3
    confidence: bool = False

    def __post_init__(self) -> None:
        """Check that the heads are trained by a loss."""
        if not self.weight and not self.steer:
            raise ValueError("weight = 0 needs steer = true, or nothing trains the region heads")
        if not self.weight and self.fit:
            raise ValueError("weight = 0 needs fit = 0: the heads are fitted to labels")


@config
class SpeedConfig:
    """How the same arithmetic is carried out.

    Attributes:
        channels_last: memory layout of the maps of the trunk and of the branches, channels innermost; not of narrow
            branches in a loop.
        guide_heads: memory layout of D, which the guide's heads read. "auto" is the layout in which conv5_g was
            measured to be faster: channels last on a GPU (where `channels_last` is true), contiguous on a CPU.
        local_heads: how the grouped convolutions of the main stream's eight local heads are computed: "convolution",
            "product" (the 1×1 ones as matrix products), or "dense" (one convolution whose kernel is zero between
            groups).
        compile: torch.compile of the whole network, or with "parts" of the trunk, the branches and each head; "parts"
            keeps the features apart, so that their gradients are compared too. "reduce-overhead" replays CUDA graphs.
        cuda_graph: record a step, optimiser included, as one CUDA graph in each epoch, and replay it. It has an effect
            on a GPU, with one process, without `accumulate`, local pooling, region teacher, `main.sie` and
            `guidance.drop`.
        fused_optimiser: one kernel for Adam's whole update.
        checkpoint_branches: compute the branches a second time in the backward pass instead of keeping their maps.
        resident: keep the whole training split in the GPU's memory, where `memory` allows it.
    """

    channels_last: bool = True
    guide_heads: Literal["auto", "contiguous", "channels_last"] = "auto"
    local_heads: Grouped = "convolution"
    compile: Literal["off", "parts", "default", "reduce-overhead", "max-autotune"] = "off"
    cuda_graph: bool = False
    fused_optimiser: bool = True
    checkpoint_branches: bool = False
    resident: bool = False

    def __post_init__(self) -> None:
        """Check that the settings do not contradict each other."""
        if self.cuda_graph and not self.fused_optimiser:
            raise ValueError("cuda_graph = true needs fused_optimiser = true, whose step is counted on the GPU")
        if self.cuda_graph and self.compile in ("reduce-overhead", "max-autotune"):
            raise ValueError("cuda_graph = true needs compile = off, parts or default: the others record graphs too")
