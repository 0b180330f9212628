"""What losses are computed in, whatever the network ran in."""

from __future__ import annotations

import torch


def precise(x: torch.Tensor) -> torch.Tensor:
    """Lift half precision to float32; leave the rest as it is."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
