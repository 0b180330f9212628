"""The identity loss (section 3.2.4): cross entropy over the training identities, with label smoothing."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .config import MARGINS, LossConfig
from .margin import with_margin
from .precision import at_least_float32


def identity_loss(logits: torch.Tensor, labels: torch.Tensor, config: LossConfig, classifier: str) -> torch.Tensor:
    """Return the identity loss of what a classifier gives, (B, identities), a mean over the images.

    Args:
        labels: int64 (B).
        classifier: of `NetworkConfig.classifier`; those with a margin give cosines instead of logits.
    """
    if classifier in MARGINS:
        margin, scale = MARGINS[classifier]
        margin = margin if config.id_margin is None else config.id_margin
        logits = with_margin(logits, labels, classifier, margin, config.id_scale or scale)
    return cross_entropy(logits, labels, config.smoothing)


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Return the mean cross entropy of logits (B, identities) against labels (B), smoothed over identities.

    Args:
        smoothing: ε of Szegedy et al. (2016, section 7): the target is 1 - ε on the label plus ε / identities on every
            identity.
    """
    return F.cross_entropy(at_least_float32(logits), labels, label_smoothing=smoothing)
