"""The centre loss (Wen et al. 2016), which pulls features to a centre of their identity; the paper has none.

Weight and rate are used as by Luo et al. (2019, section 3.6) and their code: the loss is the mean over a batch of the
squared distances to the centres, and the centres follow by gradient descent at a rate of their own, which the loss's
weight does not change. Wen et al. (equation 4) divide the step of a centre by 1 + the batch's images of its identity
instead of half the batch's images.
"""

from __future__ import annotations

import torch
from torch import nn

from .config import LossConfig
from .precision import at_least_float32


def centre_loss(features: torch.Tensor, labels: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """Return the squared distance of features to the centres of their identities, a mean over the batch.

    Twice the mean of Wen et al.'s equation 2, so that the gradient of a feature is 2·(x - c) / B.

    Args:
        features: (B, D), unnormalised.
        labels: int64 (B).
        centres: (identities, D).
    """
    return (at_least_float32(features) - centres[labels]).square().sum(1).mean()


def move_centres(centres: nn.ParameterDict, config: LossConfig) -> None:
    """Move centres against their gradients, which are of the weighted loss, and remove these gradients."""
    with torch.no_grad():
        for centre in centres.values():
            if centre.grad is not None:
                centre.sub_(centre.grad, alpha=config.centre_rate / config.centre)
                centre.grad = None
