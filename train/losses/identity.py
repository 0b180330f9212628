"""The identity loss (section 3.2.4): cross entropy over the training identities, with label smoothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .precision import at_least_float32


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return the mean cross entropy of logits (B, identities) against labels (B), smoothed over identities.

    Args:
        smoothing: ε of Szegedy et al. (2016, section 7): the target is 1 - ε on the label plus ε / identities on every
            identity.
    """
    return F.cross_entropy(at_least_float32(logits), labels, label_smoothing=smoothing)
