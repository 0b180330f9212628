"""Crops of people in whatever form a user has them, as uint8 RGB."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .decoding.decode import decode, rgb
from .decoding.limits import DecodeError
from .errors import ModelError

ONE = (str, os.PathLike, bytes, bytearray, memoryview, np.ndarray, torch.Tensor, Image.Image)
Crop = str | os.PathLike[str] | bytes | bytearray | memoryview | np.ndarray | torch.Tensor | Image.Image
"""A path, the bytes of an image file, a uint8 array (H, W, 3), a uint8 tensor (3, H, W), or a PIL image; all RGB."""

FORMS = "a path, the bytes of an image file, a PIL image, a uint8 RGB array (H, W, 3) or a uint8 RGB tensor (3, H, W)"


def as_rgb(crop: Crop, name: str = "The crop") -> torch.Tensor:
    """Return a crop as uint8 (H, W, 3), RGB, on the CPU; never memory that the caller may change.

    Files are decoded by `decoding.decode`, as in training; a PIL image is turned as its EXIF orientation says.

    Args:
        name: of the crop in an error's message; for a path, the path is the name.

    Raises ModelError for a file that is no image, and for another type, shape or range.
    """
    try:
        if isinstance(crop, str | os.PathLike):
            name = os.fspath(crop)
            return torch.from_numpy(decode(_bytes_of(Path(crop))))
        if isinstance(crop, bytes | bytearray | memoryview):
            return torch.from_numpy(decode(crop))
        if isinstance(crop, Image.Image):
            return torch.from_numpy(rgb(crop))
        if isinstance(crop, torch.Tensor):
            _check(crop.dtype == torch.uint8 and crop.ndim == 3 and crop.shape[0] == 3 and crop.numel() > 0, crop)
            return crop.cpu().permute(1, 2, 0).clone(memory_format=torch.contiguous_format)  # (3, H, W) -> (H, W, 3)
        if isinstance(crop, np.ndarray):
            _check(crop.dtype == np.uint8 and crop.ndim == 3 and crop.shape[2] == 3 and crop.size > 0, crop)
            return torch.from_numpy(np.array(crop))  # a copy: torch wants no negative strides, as of crop[..., ::-1]
    except DecodeError as error:
        raise ModelError(f"{name} cannot be read as an image: {error}.") from None
    raise ModelError(f"{name} is of type {type(crop).__name__}, which is not an image: give {FORMS}.")


def many(crops: Crop | Iterable[Crop]) -> Iterable[Crop]:
    """Return crops as they are, and a single crop as a list of one.

    An array or a tensor is a single crop unless it has four dimensions. Raises ModelError for what is neither.
    """
    if isinstance(crops, np.ndarray) and (crops.ndim > 3 or crops.dtype.kind in "OU"):
        return crops  # of several crops, or of paths
    if isinstance(crops, torch.Tensor) and crops.ndim > 3:
        return crops
    if isinstance(crops, ONE):
        return [crops]
    if not isinstance(crops, Iterable) or isinstance(crops, dict):
        raise ModelError(f"Crops of type {type(crops).__name__} cannot be used: give a list, each {FORMS}.")
    return crops


def numbered(crops: Iterable[Crop]) -> Iterator[tuple[Crop, str]]:
    """Yield each crop with its name in an error's message."""
    for number, crop in enumerate(crops):
        yield crop, f"Crop {number + 1} of the batch (index {number})"


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else error.strerror
        raise DecodeError(f"{reason}") from None
    except ValueError as error:
        raise DecodeError(f"its name is not a path ({error})") from None


def _check(fits: bool, crop: np.ndarray | torch.Tensor) -> None:
    if not fits:
        kind = str(crop.dtype).removeprefix("torch.")
        raise DecodeError(
            f"its shape is {tuple(crop.shape)} and its type {kind}; expected uint8 RGB, an array (H, W, 3) or a tensor "
            "(3, H, W), not empty"
        )
