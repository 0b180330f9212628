"""The settings of the losses; importing them does not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat

from dsa_app.config import config

MARGINS = {"circle": (0.25, 256.0), "arcface": (0.5, 64.0), "cosface": (0.35, 64.0)}
"""Margin and scale of the classifiers that have them, by `NetworkConfig.classifier`: their papers', for faces."""


@config
class DistillationConfig:
    """Weights of the distillation losses, global to global and local to local, the mean of the eight local ones.

    Attributes:
        teacher: whose features are the targets: the fused z, or the guide's own d.
        relations: of each image's similarity to the others of the batch (Passalis and Tefas 2018, section 3, with the
            cosine as kernel).
        features: of the direction of the feature itself (Romero et al. 2015, FitNets, with the cosine).
        logits: of the teacher's identity logits (Hinton et al. 2015); z's alone, as d has no classifier.
        temperature: that similarities are divided by.
        softness: T of the logits; the term is multiplied by T², as in that paper.
    """

    teacher: Literal["z", "d"] = "z"
    relations: NonNegativeFloat = 0.0
    features: NonNegativeFloat = 0.0
    logits: NonNegativeFloat = 0.0
    temperature: PositiveFloat = 0.1
    softness: PositiveFloat = 4.0

    def __post_init__(self) -> None:
        """Check that the teacher has the logits that are asked for."""
        if self.logits and self.teacher == "d":
            raise ValueError("logits needs teacher = z: the guide's own features (d) have no classifier")


@config
class LossConfig:
    """Weights of the terms, which are summed; the values are the paper's (section 4.2).

    Attributes:
        id_f: identity, on f_G and on each of the eight f_L,i.
        id_z: identity, on z_G and z_L; also on the Baseline's only feature.
        triplet: on z_G and z_L; without a guide on f_G and f_L.
        triplet_f: on f_G and f_L beside those on z; the paper has none.
        triplet_heads: whether global and local features have triplets, or the local ones alone.
        local_distance: between the eight local features of two images, in the triplet loss: of all as "joined" to one
            feature, or the mean of their eight distances weighted by the visibility of both "regions" (Somers et al.
            2023, section 3.3).
        margin: of the triplet loss, in units of the unnormalised features' Euclidean distance.
        soft_margin: the triplet loss is ln(1 + exp(d_p - d_n)), the soft margin of Hermans et al. 2017, instead of the
            hinge, and `margin` has no effect.
        smoothing: of the labels, in every identity term.
        metric: "triplet" is the paper's; "circle" puts the circle loss in its place, weighted by `circle`.
        circle: of the circle loss, in the place of `triplet`.
        circle_margin, circle_scale: m and γ of the circle loss; the defaults are FastReID's (He et al. 2020).
        id_margin, id_scale: m and s (γ of circle) of a `network.classifier` with a margin; None for the values of its
            paper: 0.25 and 256 for circle, 0.5 and 64 for arcface, 0.35 and 64 for cosface.
        centre: of the centre loss (Wen et al. 2016) on z_G and z_L, without a guide on f_G and f_L, before any neck;
            0.0005 in Luo et al. (2019, section 3.6).
        centre_rate: learning rate of the centres, which have no decay and no schedule; that paper's code has 0.5.
        teach: distillation from the guide to the main stream; the paper has none.
        region_teacher: with `network.region_teacher`, of the cosine between f_L,i and the mean t_L,i of the identity;
            identity and triplet terms on t are weighted as those on f.
    """

    id_f: NonNegativeFloat = 0.5
    id_z: NonNegativeFloat = 1.0
    triplet: NonNegativeFloat = 1.5
    triplet_f: NonNegativeFloat = 0.0
    triplet_heads: Literal["both", "local"] = "both"
    local_distance: Literal["joined", "regions"] = "joined"
    margin: NonNegativeFloat = 0.3
    soft_margin: bool = False
    smoothing: float = Field(default=0.1, ge=0, lt=1)
    metric: Literal["triplet", "circle"] = "triplet"
    circle: NonNegativeFloat = 1.0
    circle_margin: float = Field(default=0.25, ge=0, lt=1)
    circle_scale: PositiveFloat = 64.0
    id_margin: NonNegativeFloat | None = None
    id_scale: PositiveFloat | None = None
    centre: NonNegativeFloat = 0.0
    centre_rate: PositiveFloat = 0.5
    teach: DistillationConfig = DistillationConfig()
    region_teacher: NonNegativeFloat = 1.0

    @property
    def triplet_margin(self) -> float | None:
        """The margin of the triplet loss; None for the soft one."""
        return None if self.soft_margin else self.margin

    def __post_init__(self) -> None:
        """Check that the distance fits the loss on pairs, and that centres are moved by a loss."""
        if self.centre_rate != 0.5 and not self.centre:
            raise ValueError(f"centre_rate = {self.centre_rate} needs a centre loss: centre, as 0.0005")
        if self.soft_margin and self.metric == "circle":
            raise ValueError("soft_margin = true is for metric = triplet")
        if self.local_distance == "regions" and self.metric == "circle":
            raise ValueError("local_distance = regions is for metric = triplet: the circle loss has no distances")
