"""Losses are computed in float32 or better, whatever the network ran in."""

from __future__ import annotations

import torch


def at_least_float32(x: torch.Tensor) -> torch.Tensor:
    """Return `x` in float32 if it is in half precision, otherwise as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
