"""Occlusion (Zeiler and Fergus 2014, section 4.2): how much each feature changes where the image is covered.

A window is replaced by the mean colour, as random erasing fills it. 1 - cos between the feature before and after is the
window's, and a pixel's is the mean over the windows that cover it. The map is as fine as the windows are, and the
method holds for any network.
"""

from __future__ import annotations

import torch

from dsa_app.errors import ConfigError

from .features import Network, change, split


@torch.inference_mode()
def occlusion(network: Network, image: torch.Tensor, window: int, stride: int, batch: int = 64) -> torch.Tensor:
    """Return how much each feature of one image changes where the image is occluded.

    Args:
        network: in evaluation mode.
        image: normalised, float (3, H, W).
        window: side of the square that is replaced by the mean, in pixels.
        stride: pixels from one window to the next; windows reach over the border, so that pixels there are covered as
            often as others.
        batch: images that go through the network together.

    Returns:
        float64 (F, H, W): the mean of `change` over the windows that cover a pixel.

    Raises:
        ConfigError: unless 1 <= stride <= window.
    """
    if not 1 <= stride <= window:
        raise ConfigError(
            f"A stride of {stride} with a window of {window} leaves pixels uncovered. Set 1 <= --stride <= --window."
        )
    _, H, W = image.shape
    windows = [
        (slice(max(y, 0), y + window), slice(max(x, 0), x + window))
        for y in range(stride - window, H, stride)
        for x in range(stride - window, W, stride)
    ]
    total = covered = torch.zeros(())
    for start in range(0, len(windows), batch):
        some = windows[start : start + batch]
        # The first image stays whole: in the same batch it is rounded as the occluded ones are.
        images = image.repeat(1 + len(some), 1, 1, 1)
        for occluded, (rows, columns) in zip(images[1:], some, strict=True):
            occluded[:, rows, columns] = 0  # the mean
        features = split(network(images))
        changes = change([one[:1] for one in features], [one[1:] for one in features]).cpu()  # (B, F)
        if total.ndim == 0:
            total, covered = torch.zeros(changes.shape[1], H, W, dtype=torch.float64), torch.zeros(H, W)
        for (rows, columns), by_feature in zip(some, changes, strict=True):
            total[:, rows, columns] += by_feature[:, None, None]
            covered[rows, columns] += 1
    return total / covered
