"""Crop, flip, random erasing, normalisation and fill, for a whole batch on whatever device it lies.

Drawing and doing stand apart: `draw` takes a batch's random numbers from a generator of its own, always on the CPU,
so that a run sees the same pictures on every device; `augment` only carries them out. Every picture has its own
draw, and no step of it is Python for each picture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeInt, PositiveFloat

from dsa_app.config import config
from dsa_data.charts import CHARTS
from dsa_reid.preprocessing import Preprocessing
from dsap.config import Parts
from dsap.mirror import texel_permutation

from .dataset import Batch
from .jitter import jitter

Fraction = Annotated[float, Field(ge=0, le=1)]
TRIES = 20  # boxes to erase drawn for a picture, of which the first that fits is taken


@config
class AugmentConfig:
    """Augmentation by docs/design/paper.md; erasing as in Zhong et al. (2020).

    Attributes:
        pad: black pixels added on every side before a crop of the picture's size.
        flip: probability of a horizontal flip, which mirrors the DSAP by its own rule.
        erase: probability of random erasing, which leaves the DSAP.
        erase_area: least and greatest share of the picture, drawn evenly.
        erase_aspect: least and greatest height / width, drawn evenly.
        jitter: how far brightness, contrast and saturation stray from 1, drawn evenly, picture and DSAP alike (after
            Krizhevsky et al. 2012; the factors and their order are torchvision's ColorJitter's); 0 for none.
        drop_charts: probability that the guide is not shown a chart, each by itself (dropout of whole part pictures,
            after Srivastava et al. 2014); the paper has none.
    """

    pad: NonNegativeInt = 10
    flip: Fraction = 0.5
    erase: Fraction = 0.5
    erase_area: tuple[Fraction, Fraction] = (0.02, 0.4)
    erase_aspect: tuple[PositiveFloat, PositiveFloat] = (0.3, 3.3)
    jitter: tuple[Fraction, Fraction, Fraction] = (0, 0, 0)
    drop_charts: Fraction = 0.0


@dataclasses.dataclass(frozen=True)
class Draws:
    """What was drawn for a batch of B pictures.

    Args:
        flip: bool (B,).
        crop: int64 (B, 2), top and left of the crop within the padded picture.
        erased: int64 (B, 4), top, left, bottom, right of the box to erase, end excluded; empty where there is none.
        colours: float32 (B, 3), factors of brightness, contrast and saturation; None to leave them.
        dropped: bool (B, 24), charts that are not shown; None to show all.
    """

    flip: torch.Tensor
    crop: torch.Tensor
    erased: torch.Tensor
    colours: torch.Tensor | None = None
    dropped: torch.Tensor | None = None

    def to(self, device: torch.device) -> Draws:
        """Return the same draws on another device."""
        return self._map(lambda drawn: drawn.to(device))

    def of(self, pictures: slice) -> Draws:
        """Return the draws of some of the pictures."""
        return self._map(lambda drawn: drawn[pictures])

    def _map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Draws:
        optional = (None if drawn is None else change(drawn) for drawn in (self.colours, self.dropped))
        return Draws(change(self.flip), change(self.crop), change(self.erased), *optional)


def draw(B: int, H: int, W: int, config: AugmentConfig, generator: torch.Generator) -> Draws:
    """Draw the augmentation of B pictures of H×W pixels from a CPU generator."""
    flip = torch.rand(B, generator=generator) < config.flip
    crop = torch.randint(0, 2 * config.pad + 1, (B, 2), generator=generator)
    boxes = _boxes(B, H, W, config, generator)
    colours = dropped = None  # drawn last, and only if asked for: runs with and without share all other draws
    if any(config.jitter):
        colours = 1 + (2 * torch.rand(B, 3, generator=generator) - 1) * torch.tensor(config.jitter)
    if config.drop_charts:
        dropped = torch.rand(B, CHARTS, generator=generator) < config.drop_charts
    return Draws(flip, crop, boxes, colours, dropped)


def _boxes(B: int, H: int, W: int, config: AugmentConfig, generator: torch.Generator) -> torch.Tensor:
    """Draw what to erase: (B, 4), zeros for a picture that is spared."""
    spared = torch.rand(B, generator=generator) >= config.erase
    share, ratio, down, along = torch.rand(4, B, TRIES, generator=generator, dtype=torch.float64)
    area = torch.lerp(*_ends(config.erase_area), share) * H * W
    aspect = torch.lerp(*_ends(config.erase_aspect), ratio)
    height, width = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()  # (B, TRIES)
    fits = (height >= 1) & (width >= 1) & (height <= H) & (width <= W)
    first = fits.int().argmax(1, keepdim=True)
    spared |= ~fits.any(1)
    height, width, down, along = (value.gather(1, first).squeeze(1) for value in (height, width, down, along))
    top, left = (down * (H - height + 1)).floor(), (along * (W - width + 1)).floor()
    boxes = torch.stack([top, left, top + height, left + width], 1).long()
    return boxes.masked_fill(spared[:, None], 0)


def _ends(interval: tuple[float, float]) -> tuple[torch.Tensor, torch.Tensor]:
    low, high = interval
    return torch.tensor(low, dtype=torch.float64), torch.tensor(high, dtype=torch.float64)


def augment(
    batch: Batch, draws: Draws, pad: int, mirror: torch.Tensor, preprocessing: Preprocessing
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Carry out what was drawn, all on one device.

    Args:
        batch: B pictures, with or without their DSAP.
        pad: the configuration's, for which `draws` were drawn.
        mirror: int64 (24·S·S), which texel takes each one's place in a flipped picture, see `mirror_table`.

    Returns:
        Normalised pictures, float32 (B, 3, H, W), and part pictures, float32 (B, 24, 3, S, S).
    """
    if draws.colours is not None:
        batch = jitter(batch, draws.colours)
    images = erase(preprocessing.normalise(move(batch.images, draws, pad)), draws)
    if batch.texels is None or batch.valid is None:
        return images, None
    texels, valid = mirrored(batch.texels, batch.valid, draws.flip, mirror)
    if draws.dropped is not None:
        valid = valid & ~draws.dropped[:, :, None, None]
    return images, fill(texels, valid, preprocessing)


def move(images: torch.Tensor, draws: Draws, pad: int) -> torch.Tensor:
    """Crop, then flip: uint8 (B, H, W, 3) to the same."""
    B, H, W, _ = images.shape
    rows = draws.crop[:, :1] + torch.arange(H, device=images.device)  # (B, H)
    columns = draws.crop[:, 1:] + torch.arange(W, device=images.device)  # (B, W)
    columns = torch.where(draws.flip[:, None], columns.flip(1), columns)
    padded = F.pad(images, (0, 0, pad, pad, pad, pad))
    each = torch.arange(B, device=images.device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]]


def erase(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Set what was drawn to 0, the mean, in normalised pictures (B, 3, H, W)."""
    top, left, bottom, right = draws.erased[:, :, None].unbind(1)  # (B, 1) each
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside = ((y >= top) & (y < bottom))[:, :, None] & ((x >= left) & (x < right))[:, None, :]  # (B, H, W)
    return images.masked_fill(inside[:, None], 0)


def mirror_table(parts: Parts, size: int) -> torch.Tensor:
    """Return which texel takes each one's place in a flipped picture: int64 (24·S·S), over (24, S, S).

    Args:
        parts: of `dsap.config.WarpConfig`.
        size: S.
    """
    return torch.from_numpy(texel_permutation(size, parts).copy())


def mirrored(
    texels: torch.Tensor, valid: torch.Tensor, flip: torch.Tensor, mirror: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mirror the DSAP of the pictures that were flipped: texels (B, 24, S, S, 3), valid (B, 24, S, S)."""
    B, L = len(flip), len(mirror)
    source = torch.where(flip[:, None], mirror, torch.arange(L, device=mirror.device))  # (B, 24·S·S)
    source = (source + L * torch.arange(B, device=mirror.device)[:, None]).flatten()
    return (
        texels.flatten(0, 3).index_select(0, source).view_as(texels),
        valid.flatten().index_select(0, source).view_as(valid),
    )


def fill(texels: torch.Tensor, valid: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    """Normalise part pictures; a texel that is not valid becomes exactly 0, the mean.

    Args:
        texels: uint8 (B, 24, S, S, 3), RGB.
        valid: bool (B, 24, S, S).

    Returns:
        float32 (B, 24, 3, S, S).
    """
    colours = preprocessing.normalise(texels.flatten(0, 1)).unflatten(0, texels.shape[:2])  # (B, 24, 3, S, S)
    return colours.mul_(valid[:, :, None])
