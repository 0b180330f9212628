"""The resize as arithmetic that every runtime has: two products of matrices, made from the sizes of the images.

Runtimes differ in what they call bilinear. So an exported network computes the resize of `Preprocessing.resize` from
arange, abs, clamp, floor and matmul alone: to the same whole numbers, not only to something near them.
"""

from __future__ import annotations

import torch
from torch import nn

LARGEST = 2**15  # weights are whole numbers below this
STEPS = 22  # doublings that are tried for them
HALF = 256  # the upper and the lower 8 bits of a weight are multiplied apart, so that every sum is exact in float32


class Resize(nn.Module):
    """Resize images to a height and width, bilinear with antialiasing, as torch does for uint8.

    Columns first, then rows. A pixel of the result is the mean of the stored pixels around it, weighted by a triangle
    that is as wide as two stored pixels, or as two pixels of the result where those are larger. Weights are rounded to
    whole numbers below 2^15 over a power of two, and each of the two passes is rounded to 0..255: Pillow's fixed-point
    resize, which torch took over.
    """

    scales: torch.Tensor

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width
        self.register_buffer("scales", 2.0 ** torch.arange(1, STEPS + 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map uint8 (B, H, W, 3) to whole numbers as float32 (B, 3, height, width)."""
        x = images.permute(0, 3, 1, 2).to(torch.float32)  # (B, H, W, 3) -> (B, 3, H, W)
        weights, scale = self._weights(x.shape[3], self.width)
        upper, lower = _halves(weights.transpose(0, 1))  # (W, width)
        x = _rounded(x @ upper, x @ lower, scale)  # (B, 3, H, W) -> (B, 3, H, width)
        weights, scale = self._weights(x.shape[2], self.height)
        upper, lower = _halves(weights)  # (height, H)
        return _rounded(upper @ x, lower @ x, scale)  # (B, 3, H, width) -> (B, 3, height, width)

    def _weights(self, stored: int, wanted: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the weight of each stored pixel in each wanted one, whole numbers (wanted, stored), and their sum.

        With centres at (j + 1/2) / stored and (i + 1/2) / wanted, and a triangle of half width 1 / min(stored, wanted),
        all times 2 · stored · wanted, every number up to the first division is whole and exact in float32.
        """
        theirs = 2 * torch.arange(stored, dtype=torch.float32, device=self.scales.device) + 1  # (stored,)
        ours = 2 * torch.arange(wanted, dtype=torch.float32, device=self.scales.device)[:, None] + 1  # (wanted, 1)
        count = (theirs.max() + 1) / 2  # `stored` as a tensor: a runtime knows it only when it runs
        apart = (ours * count - theirs * wanted).abs()  # (wanted, stored)
        near = (2 * count.clamp(min=wanted) - apart).clamp(min=0)
        total = near.sum(1, keepdim=True)  # (wanted, 1)
        fits = ((near / total).max() * self.scales + 0.5).floor() < LARGEST
        scale = (self.scales * fits.to(torch.float32)).max().clamp(min=1)
        return (near * scale / total + 0.5).floor(), scale


def _halves(weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    upper = (weights / HALF).floor()
    return upper, weights - HALF * upper


def _rounded(upper: torch.Tensor, lower: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return (256 · upper + lower) / scale, rounded half up, within 0..255; whole numbers in, whole numbers out."""
    carried = upper + (lower / HALF).floor()
    return ((carried + scale / (2 * HALF)) / (scale / HALF)).floor().clamp(0, 255)
