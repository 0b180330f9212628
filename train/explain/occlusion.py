"""Where each feature of the main stream looks, measured in two ways.

Occlusion (Zeiler and Fergus 2014, section 4.2): a window is replaced by the mean, as random erasing fills it; 1 - cos
between the feature before and after is the window's, and a pixel's is the mean over the windows that cover it. It is as
fine as the windows are, and holds for any network.

Shares (Stylianou, Souvenir and Pless 2019, for a picture and itself): an average-pooled feature is f = mean over places
p of m(p), so that |f|² = mean over p of <m(p), f>. A place's share of that is exact; the map is as coarse as the
head's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F

from dsa_app.errors import ConfigError
from dsa_data.charts import BODY_REGIONS
from dsa_reid.main_stream import Features, MainStream
from dsa_reid.pooling import SMALLEST

Network = Callable[[torch.Tensor], Features]
"""Maps normalised pictures, float (B, 3, H, W), to their features: a `MainStream`, or anything like it."""

GLOBAL = "global"


def feature_names(heads: str) -> list[str]:
    """Return the names of a network's features, F of them: "global", then the region that guides each local one."""
    return [GLOBAL] * (heads != "local") + list(BODY_REGIONS) * (heads != "global")


def symbol(name: str) -> str:
    """Return the paper's sign of a feature: f_G, f_L,0 to f_L,7."""
    return "f_G" if name == GLOBAL else f"f_L,{list(BODY_REGIONS).index(name)}"


def split(f: Features) -> list[torch.Tensor]:
    """Return the features that there are one by one, as `feature_names` has them: f_G (B, G), each f_L,i (B, L)."""
    whole = [] if f.global_ is None else [f.global_]
    return whole + ([] if f.local is None else list(f.local.unbind(1)))


def change(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return 1 - cos between features before and after: 0 for none, 1 for a right angle.

    Exactly 0 where no number differs, also for a feature that is 0 throughout.

    Args:
        before: F features, float (B, D) or (1, D) each.
        after: F features, float (B, D) each.

    Returns float64 (B, F).
    """
    changes = []
    for one, other in zip(before, after, strict=True):
        apart = 1 - F.cosine_similarity(one.double(), other.double())  # (B,)
        changes.append(apart.masked_fill((one == other).all(1), 0))
    return torch.stack(changes, dim=1).clamp(min=0)


def apart(features: Sequence[torch.Tensor], pids: Sequence[int]) -> torch.Tensor:
    """Return the mean of 1 - cos over all pairs of pictures of two people: what a change is worth.

    Args:
        features: F features of N pictures, float (N, D) each.
        pids: N identities, of two people at least.

    Returns float64 (F,), above 0: a feature that is the same for all is given as good as nothing to divide by.
    """
    identity = torch.as_tensor(pids)
    others = identity[:, None] != identity  # (N, N)
    assert others.any(), "two people at least"
    directions = [F.normalize(one.double()).cpu() for one in features]
    return torch.stack([(1 - one @ one.T)[others].mean() for one in directions]).clamp(min=SMALLEST)


@torch.inference_mode()
def occlusion(network: Network, image: torch.Tensor, window: int, stride: int, batch: int = 64) -> torch.Tensor:
    """Return how much each feature of one picture changes where the picture is occluded.

    Args:
        network: in evaluation mode.
        image: normalised, float (3, H, W).
        window: side of the square that is replaced by the mean, in pixels.
        stride: pixels from one window to the next; windows reach over the border, so that no pixel is covered less.
        batch: pictures at once.

    Returns:
        float64 (F, H, W): the mean of `change` over the windows that cover a pixel.

    Raises:
        ConfigError: unless 1 <= stride <= window.
    """
    if not 1 <= stride <= window:
        raise ConfigError(f"A stride of {stride} and a window of {window} leave gaps. Say 1 <= --stride <= --window.")
    _, H, W = image.shape
    places = [
        (slice(max(y, 0), y + window), slice(max(x, 0), x + window))
        for y in range(stride - window, H, stride)
        for x in range(stride - window, W, stride)
    ]
    total = covered = torch.zeros(())
    for start in range(0, len(places), batch):
        some = places[start : start + batch]
        images = image.repeat(1 + len(some), 1, 1, 1)  # the first stays whole: the same batch rounds it the same way
        for occluded, (rows, columns) in zip(images[1:], some, strict=True):
            occluded[:, rows, columns] = 0  # the mean
        features = split(network(images))
        changes = change([one[:1] for one in features], [one[1:] for one in features]).cpu()  # (B, F)
        if total.ndim == 0:
            total, covered = torch.zeros(changes.shape[1], H, W, dtype=torch.float64), torch.zeros(H, W)
        for (rows, columns), found in zip(some, changes, strict=True):
            total[:, rows, columns] += found[:, None, None]
            covered[rows, columns] += 1
    return total / covered


def shares(maps: torch.Tensor, power: float = 1.0) -> torch.Tensor:
    """Return each place's share of the squared length of the feature that is pooled from a map.

    With f_c the root of the mean of the p-th powers, f_c² = f_c^(2-p) · mean of m_c(p)^p: exact for the average (p = 1)
    and for the generalised mean.

    Args:
        maps: not negative, float (B, C, h, w).
        power: p of the pooling.

    Returns:
        float64 (B, h, w), summing to 1 for each picture; all 0 for a feature of length 0.
    """
    x = maps.double() if power == 1 else maps.double().clamp(min=SMALLEST)
    f = x.pow(power).mean((2, 3), keepdim=True).pow(1 / power)  # (B, C, 1, 1)
    parts = (f.pow(2 - power) * x.pow(power)).sum(1)  # (B, h, w), together h·w·|f|²
    whole = parts.sum((1, 2), keepdim=True)
    return torch.where(whole > 0, parts / whole, 0)


@torch.inference_mode()
def feature_shares(network: MainStream, images: torch.Tensor) -> torch.Tensor:
    """Return the shares of every feature of a main stream, before any neck: float64 (B, F, h, w).

    Args:
        network: in evaluation mode.
        images: normalised, float (B, 3, H, W).
    """
    F_ = network.trunk(images)
    power = float(network.pool.p) if network.pool else 1.0
    maps = [] if network.global_head is None else [network.global_head(F_)]  # (B, G, h, w)
    if network.local_head is not None:
        maps += network.local_head(F_).chunk(len(BODY_REGIONS), dim=1)  # eight of (B, L, h, w)
    return torch.stack([shares(one, power) for one in maps], dim=1)
