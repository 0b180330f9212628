"""Preprocessing before the network, the same in training and in deployment: one resize, one normalisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .errors import ModelError
from .upload import upload

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE = 4096  # pixels; a model file with a larger input is damaged


@dataclass(frozen=True)
class Preprocessing:
    """The size and colours that a network was trained on.

    Attributes:
        height, width: in pixels.
        mean, std: of red, green and blue in 0..1.
    """

    height: int = 256
    width: int = 128
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        """Check the values, which may come from a file."""
        for name, side in (("height", self.height), ("width", self.width)):
            if not isinstance(side, int) or not 0 < side <= MAX_SIDE:
                raise ModelError(f"{name} = {str(side)[:40]} is invalid: expected pixels, 1 to {MAX_SIDE}.")
        for name, colours in (("mean", self.mean), ("std", self.std)):
            numbers = [
                c for c in colours if isinstance(c, float | int) and math.isfinite(c) and (name == "mean" or c > 0)
            ]
            if not len(numbers) == len(colours) == 3:
                raise ModelError(f"{name} = {str(colours)[:80]} is invalid: expected a number for red, green and blue.")

    def resize(self, image: torch.Tensor) -> torch.Tensor:
        """Resize uint8 (H, W, 3) to (height, width, 3), bilinear, with antialiasing where it shrinks."""
        if image.shape[:2] == (self.height, self.width):
            return image
        stacked = image.permute(2, 0, 1)[None]  # (1, 3, H, W)
        size = (self.height, self.width)
        return F.interpolate(stacked, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Map uint8 (B, H, W, 3), RGB, to float32 (B, 3, H, W) of mean 0 and deviation 1 over ImageNet.

        One product and one difference, each rounded separately, so that a colour gives the same bits at every position
        of a batch and on every device. A fused multiply-add would not.
        """
        return self.normalise_planes(
            images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        )

    def normalise_planes(self, planes: torch.Tensor) -> torch.Tensor:
        """Map float32 (B, 3, H, W) of 0..255 as `normalise` does, in place."""
        if planes.device.type == "cuda":  # one copy, which waits for nothing
            constants = torch.tensor([self.mean, self.std], dtype=torch.float32, device="cpu")
            mean, std = upload(constants, planes.device).view(2, 3, 1, 1)
        else:
            mean = torch.tensor(self.mean, dtype=torch.float32, device=planes.device).view(3, 1, 1)
            std = torch.tensor(self.std, dtype=torch.float32, device=planes.device).view(3, 1, 1)
        return planes.mul_(1 / (255 * std)).sub_(mean / std)
