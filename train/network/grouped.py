"""Grouped convolutions computed in other ways: products for 1×1 kernels, or one dense convolution with zeros.

Both have the same numbers to rounding, weights and their names included. Libraries for GPUs are slow at grouped
convolutions: on an H200 the eight local heads of the paper's network take 6.7 ms, the dense global head, with eight
times their arithmetic, 4.2 ms.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from .config import Grouped


def compute_grouped(module: nn.Module, how: Grouped) -> None:
    """Compute the grouped convolutions of a module in a way, in place; `product` leaves all but 1×1 kernels."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups > 1:
            if how == "dense":
                _replace_forward(layer, functools.partial(dense_convolution, layer))
            elif how == "product" and layer.kernel_size == (1, 1):
                _replace_forward(layer, functools.partial(product, layer))


def _replace_forward(layer: nn.Conv2d, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
    layer.forward = forward  # type: ignore[method-assign,assignment]  # it keeps its weights, names and hooks


def dense_convolution(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """Convolve (B, C, h, w) by a dense kernel, which is zero wherever the grouped one has no weight."""
    weight = layer.weight.unflatten(0, (layer.groups, -1))  # (n, O/n, C/n, k, k)
    own_group = torch.eye(layer.groups, dtype=weight.dtype, device=weight.device)[:, None, :, None, None, None]
    dense = (weight[:, :, None] * own_group).flatten(2, 3).flatten(0, 1)  # (O, C, k, k)
    if x.is_contiguous(memory_format=torch.channels_last):
        dense = dense.contiguous(memory_format=torch.channels_last)
    return F.conv2d(x, dense, None, layer.stride, layer.padding)


def product(layer: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    """Convolve (B, C, h, w) by a grouped 1×1 kernel as a matrix product a group, in the layout of x."""
    n = layer.groups
    weight = layer.weight.flatten(1).unflatten(0, (n, -1))  # (n, O/n, C/n)
    x = x[:, :, :: layer.stride[0], :: layer.stride[1]]
    B, _, h, w = x.shape
    if x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous():
        rows = x.permute(0, 2, 3, 1).reshape(B * h * w, n, -1).transpose(0, 1)  # (n, B·h·w, C/n)
        products = torch.bmm(rows, weight.transpose(1, 2))  # (n, B·h·w, O/n)
        return products.transpose(0, 1).reshape(B, h, w, -1).permute(0, 3, 1, 2)
    planes = x.unflatten(1, (n, -1)).flatten(3)  # (B, n, C/n, h·w)
    convolved: torch.Tensor = torch.matmul(weight, planes).flatten(1, 2).unflatten(2, (h, w))  # (B, O, h, w)
    return convolved
