"""Crops of people, given as paths, arrays, tensors or PIL images, as uint8 RGB."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.io import ImageReadMode, decode_image, read_file

from .errors import ModelError

Crop = str | os.PathLike[str] | np.ndarray | torch.Tensor | Any
"""A path, a uint8 array (H, W, 3), a uint8 tensor (3, H, W), or a PIL image; colours are RGB."""


def as_rgb(crop: Crop) -> torch.Tensor:
    """Return a crop as uint8 (H, W, 3), RGB.

    Raises ModelError for a file that is not an image, and for another type, shape or range.
    """
    if isinstance(crop, str | os.PathLike):
        return _read(Path(crop))
    if isinstance(crop, torch.Tensor):
        _check(crop.dtype == torch.uint8 and crop.ndim == 3 and crop.shape[0] == 3 and crop.numel() > 0, crop)
        return crop.cpu().permute(1, 2, 0)
    if hasattr(crop, "convert"):  # a PIL image; PIL itself is not needed
        crop = np.asarray(crop.convert("RGB"))
    if not isinstance(crop, np.ndarray):
        raise ModelError(
            f"A crop of type {type(crop).__name__} cannot be used: expected a path, a PIL image, a uint8 array "
            "(H, W, 3) or a uint8 tensor (3, H, W)."
        )
    _check(crop.dtype == np.uint8 and crop.ndim == 3 and crop.shape[2] == 3 and crop.size > 0, crop)
    return torch.from_numpy(np.array(crop))  # a copy: torch supports no negative strides, as of crop[..., ::-1]


def _read(path: Path) -> torch.Tensor:
    try:
        image: torch.Tensor = decode_image(read_file(str(path)), ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError as error:
        reason = "does not exist" if not path.exists() else str(error).splitlines()[0]
        raise ModelError(f"{path} cannot be read as an image: {reason}. Supported: JPEG, PNG and WebP.") from None
    return image.permute(1, 2, 0)  # (3, H, W) -> (H, W, 3)


def _check(fits: bool, crop: np.ndarray | torch.Tensor) -> None:
    if not fits:
        raise ModelError(
            f"A crop of shape {tuple(crop.shape)} and type {crop.dtype} cannot be used: expected uint8 RGB, an array "
            "(H, W, 3) or a tensor (3, H, W), not empty."
        )
