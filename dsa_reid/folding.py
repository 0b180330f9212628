"""Batch norm folded into the convolution before it: the same function to rounding, with one pass less over each map."""

from __future__ import annotations

import copy

import torch
from torch import nn

from .main_stream import MainStream, Trunk
from .part_heads import Reduction
from .residual import BasicBlock, Bottleneck


def folded(main_stream: MainStream) -> MainStream:
    """Return a copy of a network in evaluation mode whose batch norms are in its convolutions, channels last.

    Batch norm before which there is no convolution, as a neck, stays, and so do instance norm and timm's trunks.
    """
    copied = copy.deepcopy(main_stream).requires_grad_(False)
    for module in copied.modules():
        if isinstance(module, BasicBlock | Bottleneck | Trunk | Reduction):
            for number in (1, 2, 3):
                _fold(module, f"conv{number}", f"bn{number}")
            if isinstance(module, BasicBlock | Bottleneck) and module.downsample is not None:
                _fold(module.downsample, "0", "1")
    copied.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return copied


def _fold(module: nn.Module, conv_name: str, norm_name: str) -> None:
    """Multiply a batch norm into the convolution before it, if the module has both."""
    conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
    if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        return
    assert norm.running_mean is not None, "batch norm of the main stream tracks its statistics"
    assert norm.running_var is not None
    with torch.no_grad():
        scale = norm.weight.double() * (norm.running_var.double() + norm.eps).rsqrt()
        shift = norm.bias.double() - norm.running_mean.double() * scale
        weight, bias = conv.weight.double() * scale[:, None, None, None], shift
        conv.weight = nn.Parameter(weight.to(conv.weight.dtype), requires_grad=False)
        conv.bias = nn.Parameter(bias.to(conv.weight.dtype), requires_grad=False)
    setattr(module, norm_name, nn.Identity())
