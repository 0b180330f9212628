"""Trunks from timm (extra `timm`): any of its models that gives a map at stride 16."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .errors import ModelError, NotInstalledError
from .extras import install_command

STRIDE = 16
Colour = tuple[float, float, float]  # of red, green and blue


class TimmTrunk(nn.Module):
    """A timm model up to its last map at stride 16.

    Args:
        name: as timm has it, "convnext_tiny" or "vit_base_patch16_224.augreg2_in21k_ft_in1k".
        size: height and width of the pictures; models with places of their own are built for it.

    Attributes:
        channels: c_A, of that map.
        last_width: channels of the model's last stage, which the heads' features have.

    Raises ModelError if timm is not installed, does not know the model, or it has no such map.
    """

    def __init__(self, name: str, size: tuple[int, int]) -> None:
        super().__init__()
        info = create(name, size, pretrained=False, device="meta").feature_info
        at = [index for index, stride in enumerate(info.reduction()) if stride == STRIDE]
        if not at:
            raise ModelError(
                f"timm's {name} has maps at strides {info.reduction()}, none at {STRIDE}. "
                "Choose another trunk, as timm/convnext_tiny or timm/vit_base_patch16_224."
            )
        # timm shows some models by their last maps alone: the third of a ViT's is that of its twelfth block.
        self.name, self.size, self.place = name, size, info.out_indices[at[-1]]
        self.channels, self.last_width = info.channels()[at[-1]], info.channels()[-1]
        # Never on the meta device: tables that timm computes, as Swin's relative places, are in no state dict.
        self.body = create(name, size, pretrained=False, device="cpu", out_indices=(self.place,))
        self.channels_innermost = str(getattr(self.body, "output_fmt", "")).endswith("NHWC")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised pictures (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        maps: torch.Tensor = self.body(images)[0]
        return maps.permute(0, 3, 1, 2).contiguous() if self.channels_innermost else maps

    def load_pretrained(self) -> None:
        """Take the weights that timm publishes for the model. Raises ModelError if they cannot be had."""
        _published(self.name)  # where there are none timm would leave random ones, with a warning
        try:
            source = create(self.name, self.size, pretrained=True, device="cpu", out_indices=(self.place,))
        except (OSError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"timm's weights of {self.name} could not be had ({reason}). Fetch them where there is a network, into "
                "the cache that $HF_HOME names, or set weights=none to start from random ones."
            ) from None
        self.body.load_state_dict(source.state_dict())


def colours(name: str) -> tuple[Colour, Colour]:
    """Return mean and deviation of the colours that a model's published weights were trained with."""
    known = _published(name)
    (r, g, b), (dr, dg, db) = known.mean, known.std
    return (r, g, b), (dr, dg, db)


def _published(name: str) -> Any:
    """Return what timm knows of a model's weights. Raises ModelError if it publishes none."""
    known = _timm().get_pretrained_cfg(name)
    if known is None or not known.has_weights:
        raise ModelError(f"timm publishes no weights of {name!r}. Set weights=none to start from random ones.")
    return known


def create(name: str, size: tuple[int, int], pretrained: bool, device: str, **options: Any) -> Any:
    """Return timm's model as one that gives maps, built for pictures of `size` where it has to be."""
    timm = _timm()
    if not timm.is_model(name.split(".")[0]):
        raise ModelError(f"timm {timm.__version__} knows no model {name!r}. Look it up: timm.list_models('*').")
    with torch.device(device):
        try:
            return timm.create_model(name, pretrained=pretrained, features_only=True, img_size=size, **options)
        except TypeError:  # most convolutional networks take pictures of any size, and no such argument
            return timm.create_model(name, pretrained=pretrained, features_only=True, **options)


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise NotInstalledError(
            f"A timm trunk needs timm, which is not installed. Install it: {install_command('timm')}"
        ) from None
    return timm
