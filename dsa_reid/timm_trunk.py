"""Trunks from timm (extra `timm`): any of its models that has a map at stride 16."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .config import COARSE, FINE
from .errors import ModelError, NotInstalledError
from .extras import install_command

TIMM = "timm/"  # prefix of the name of such a trunk
Colour = tuple[float, float, float]  # of red, green and blue


class TimmTrunk(nn.Module):
    """A timm model up to its last map at stride 16.

    Args:
        name: of timm, "convnext_tiny" or "vit_base_patch16_224.augreg2_in21k_ft_in1k".
        size: height and width of the images; models with position embeddings are built for it.
        two_levels: also return the map at stride 8.

    Attributes:
        channels: c_A, of that map.
        fine_channels: of the map at stride 8; 0 without it.
        last_width: channels of the model's last stage, and dimensions of the heads' features.

    Raises ModelError if timm is not installed, or if it has no such model or the model no such map.
    """

    def __init__(self, name: str, size: tuple[int, int], two_levels: bool = False) -> None:
        super().__init__()
        info = create(name, size, pretrained=False, device="meta").feature_info
        at = [index for index, stride in enumerate(info.reduction()) if stride == COARSE]
        if not at:
            raise ModelError(
                f"timm's {name} has maps at strides {info.reduction()}, none at {COARSE}. "
                "Choose another trunk, as timm/convnext_tiny or timm/vit_base_patch16_224."
            )
        fine = [index for index, stride in enumerate(info.reduction()) if stride == FINE] if two_levels else []
        if two_levels and not fine:
            raise ModelError(
                f"timm's {name} has maps at strides {info.reduction()}, none at {FINE}. Set local_levels=[{COARSE}], "
                "or choose another trunk, as timm/convnext_tiny."
            )
        # timm lists only the last maps of some models: the third of a ViT is the output of its twelfth block.
        self.name, self.size, self.map_index = name, size, info.out_indices[at[-1]]
        self.channels, self.last_width = info.channels()[at[-1]], info.channels()[-1]
        # Not on the meta device: tables that timm computes, such as Swin's relative positions, are in no state dict.
        self.indices = (*(info.out_indices[index] for index in fine[-1:]), self.map_index)
        self.fine_channels = info.channels()[fine[-1]] if fine else 0
        self.body = create(name, size, pretrained=False, device="cpu", out_indices=self.indices)
        self.channels_innermost = str(getattr(self.body, "output_fmt", "")).endswith("NHWC")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        return self.levels(images)[COARSE]

    def levels(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Map normalised images to F and, if made for two levels, the map (B, c_8, H/8, W/8), by their strides."""
        maps = reversed(self.body(images))
        if self.channels_innermost:
            maps = (one.permute(0, 3, 1, 2).contiguous() for one in maps)
        return dict(zip((COARSE, FINE), maps, strict=False))

    def load_pretrained(self) -> None:
        """Load the weights that timm publishes for the model. Raises ModelError if they cannot be downloaded."""
        source = download(self.name, self.size, out_indices=self.indices)
        self.body.load_state_dict(source.state_dict())


def download(name: str, size: tuple[int, int], **options: Any) -> Any:
    """Return timm's model with the weights that timm publishes for it. Raises ModelError if that cannot be downloaded.

    Args:
        options: of `create`.
    """
    _published(name)  # without published weights, timm would leave random ones, with a warning
    try:
        with _without_retries():
            return create(name, size, pretrained=True, device="cpu", **options)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"timm's weights of {name} could not be downloaded ({reason}). Download them on a machine with a "
            "network, to the cache of $HF_HOME, or set weights=none for random initial weights."
        ) from None


@contextmanager
def _without_retries() -> Iterator[None]:
    """Keep the logs of timm and its downloads silent: a line for each retry, before our own error."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub", "urllib3", "httpx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def colours(name: str) -> tuple[Colour, Colour]:
    """Return mean and deviation of the colours that a model's published weights were trained with."""
    published = _published(name)
    (r, g, b), (dr, dg, db) = published.mean, published.std
    return (r, g, b), (dr, dg, db)


def _published(name: str) -> Any:
    """Return timm's metadata of a model's weights. Raises ModelError if it publishes none."""
    published = _timm().get_pretrained_cfg(name)
    if published is None or not published.has_weights:
        raise ModelError(f"timm publishes no weights of {name!r}. Set weights=none for random initial weights.")
    return published


def create(name: str, size: tuple[int, int], pretrained: bool, device: str, **options: Any) -> Any:
    """Return timm's model with maps as its output, built for images of `size` if it depends on their size."""
    timm = _timm()
    if not timm.is_model(name.split(".")[0]):
        raise ModelError(f"timm {timm.__version__} has no model {name!r}. List its models: timm.list_models('*').")
    with torch.device(device):
        try:
            return timm.create_model(name, pretrained=pretrained, features_only=True, img_size=size, **options)
        except TypeError:  # most convolutional networks accept images of any size, and have no such argument
            return timm.create_model(name, pretrained=pretrained, features_only=True, **options)


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise NotInstalledError(
            f"A timm trunk needs timm, which is not installed. Install it: {install_command('timm')}"
        ) from None
    return timm
