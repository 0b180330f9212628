"""Colour jitter of a whole batch: brightness, contrast and saturation, each image and its DSAP by the same factors."""

from __future__ import annotations

import dataclasses

import torch

from .dataset import Batch

LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue in a grey value, as torchvision has them


def jitter(batch: Batch, colours: torch.Tensor) -> Batch:
    """Change the colours of images and part images, which keep their shapes and uint8.

    Contrast stretches around the mean grey of the image, also in its parts: they are pixels of it.

    Args:
        colours: float32 (B, 3), factors of brightness, contrast and saturation; 1 changes nothing.
    """
    brightness, contrast, saturation = colours.unbind(1)
    bright = _scaled(batch.images.float(), brightness)  # (B, H, W, 3)
    mean = _grey(bright).mean((1, 2))  # (B)

    def change(pixels: torch.Tensor) -> torch.Tensor:
        bright = _scaled(pixels.float(), brightness)
        stretched = _blended(bright, _each(mean, bright), contrast)
        return _blended(stretched, _grey(stretched)[..., None], saturation).to(torch.uint8)

    texels = None if batch.texels is None else change(batch.texels)
    return dataclasses.replace(batch, images=change(batch.images), texels=texels)


def _scaled(pixels: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    return (pixels * _each(factor, pixels)).clamp_(0, 255).floor_()


def _blended(pixels: torch.Tensor, other: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    share = _each(factor, pixels)
    return (share * pixels + (1 - share) * other).clamp_(0, 255).floor_()


def _grey(pixels: torch.Tensor) -> torch.Tensor:
    """Return whole grey values (…) of colours (…, 3)."""
    red, green, blue = pixels.unbind(-1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).floor_()


def _each(values: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return values (B) with the rank of `pixels` (B, …), for broadcasting."""
    return values.view(-1, *[1] * (pixels.ndim - 1))
