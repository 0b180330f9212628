"""The settings that decide what the network is shown; importing them does not import torch."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config

Fraction = Annotated[float, Field(ge=0, le=1)]
Shown = Literal["own", "nothing", "another"]
Sureness = Literal["ignore", "weight", "drop"]


@config
class AugmentConfig:
    """Augmentation (section 4.2, and docs/design/paper.md where it is silent); erasing as in Zhong et al. (2020).

    Attributes:
        pad: black pixels added on every side before a crop of the image's size.
        flip: probability of a horizontal flip, which mirrors the DSAP by its own rule.
        erase: probability of random erasing, which leaves the DSAP.
        erase_area: least and greatest share of the image, sampled uniformly.
        erase_aspect: least and greatest height / width, sampled uniformly.
        jitter: how far brightness, contrast and saturation stray from 1, sampled uniformly, image and DSAP alike (after
            Krizhevsky et al. 2012; the factors and their order are torchvision's ColorJitter's); 0 for none.
        drop_charts: probability that the guide is not shown a chart, independently for each (dropout of whole part
            images, after Srivastava et al. 2014); the paper has none.
        symmetry: DensePose's `UV_symmetry_transforms.mat`, by which the DSAP of a flipped image is mirrored point by
            point; None mirrors it by the rule of docs/design/contracts.md, as evaluation does.
        policy: "autoaugment" (Cubuk et al. 2019, the policy found for ImageNet) or "randaugment" (Cubuk et al. 2020),
            with torchvision's operations, before all others. What moves pixels moves labels of regions with them and
            leaves the DSAP; what changes colours changes the DSAP alike.
        policy_share: probability that an image is changed by the policy.
        operations, magnitude: N and M of RandAugment; M counts to 30, the defaults are torchvision's.
    """

    pad: NonNegativeInt = 10
    flip: Fraction = 0.5
    erase: Fraction = 0.5
    erase_area: tuple[Fraction, Fraction] = (0.02, 0.4)
    erase_aspect: tuple[PositiveFloat, PositiveFloat] = (0.3, 3.3)
    jitter: tuple[Fraction, Fraction, Fraction] = (0, 0, 0)
    drop_charts: Fraction = 0.0
    symmetry: str | None = None
    policy: Literal["none", "autoaugment", "randaugment"] = "none"
    policy_share: Fraction = 1.0
    operations: PositiveInt = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9

    def __post_init__(self) -> None:
        """Check that the settings of a policy have one."""
        if self.policy == "none" and self.policy_share != 1:
            raise ValueError(f"policy_share = {self.policy_share} needs policy = autoaugment or randaugment")
        if self.policy != "randaugment" and (self.operations, self.magnitude) != (2, 9):
            raise ValueError("operations and magnitude are for policy = randaugment")


@config
class GuidanceConfig:
    """The guide's part in training.

    Attributes:
        shown: which part images the guide sees: the image's own, or for controls none ("nothing": all texels are the
            mean) or those of another identity's image in the batch, a different one for each ("another").
        drop: probability that an image's z is f alone, as if it had no guide, so that f meets the losses on z too.
        fade: epochs done when the weight of d in z begins to fall, and when it has come to 0, linearly in between;
            None keeps it at 1. The losses on z are then, in the end, losses on the feature that is matched, f.
        confidence: what the guide does with the confidence of texels, in training and at evaluation: "weight" shows
            each texel's difference from the mean times its confidence, "drop" hides those below `least_confidence`.
        least_confidence: of a texel that "drop" shows.
    """

    shown: Shown = "own"
    drop: Fraction = 0.0
    fade: tuple[NonNegativeInt, NonNegativeInt] | None = None
    confidence: Sureness = "ignore"
    least_confidence: Fraction = 0.5

    def __post_init__(self) -> None:
        """Check that fading goes forward."""
        if self.fade and self.fade[0] >= self.fade[1]:
            raise ValueError(f"fade = {list(self.fade)} ends before it begins")


class BatchSettings(Protocol):
    """The settings of a run that decide its batches; `dsa_train.config.TrainConfig` has them."""

    @property
    def seed(self) -> int:
        """Of every random number."""

    @property
    def identities(self) -> int:
        """P of a batch."""

    @property
    def pictures(self) -> int:
        """K of a batch."""

    @property
    def augment(self) -> AugmentConfig:
        """How images are augmented."""

    @property
    def guidance(self) -> GuidanceConfig:
        """Which part images the guide sees."""
