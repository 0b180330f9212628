"""Trunks from timm (extra `timm`): any of its models that has a map at stride 16 or 14."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .config import COARSE, FINE
from .errors import ModelError, NotInstalledError
from .extras import install_command
from .hub import without_retries
from .residual import conv, initialise

PATCH_14 = 14  # stride of the maps of DINOv2 and EVA-02
MULTIPLE = 32  # that the channels are divisible by: the guide's first layers have 1/32 of them

TIMM = "timm/"  # prefix of the name of such a trunk
Colour = tuple[float, float, float]  # of red, green and blue


class TimmTrunk(nn.Module):
    """A timm model up to its last map at stride 16 or, without one, 14.

    Args:
        name: of timm, "convnext_tiny" or "vit_base_patch16_224.augreg2_in21k_ft_in1k".
        size: height and width of the images; models with position embeddings are built for it.
        two_levels: also return the map at stride 8.

    Attributes:
        stride: of that map.
        channels: c_A, of that map; a 1×1 convolution, `project`, follows where the model's are not divisible by 32.
        fine_channels: of the map at stride 8; 0 without it.
        last_width: channels of the model's last stage, and dimensions of the heads' features, divisible by 32.

    Raises ModelError if timm is not installed, or if it has no such model or the model no such map, or for a size that
    is not divisible by a stride of 14.
    """

    def __init__(self, name: str, size: tuple[int, int], two_levels: bool = False) -> None:
        super().__init__()
        info = maps_of(name, size)
        self.stride = COARSE if COARSE in info.reduction() else PATCH_14
        at = [index for index, stride in enumerate(info.reduction()) if stride == self.stride]
        fine = [index for index, stride in enumerate(info.reduction()) if stride == FINE] if two_levels else []
        if two_levels and not fine:
            raise ModelError(
                f"timm's {name} has maps at strides {info.reduction()}, none at {FINE}. Set local_levels=[{COARSE}], "
                "or choose another trunk, as timm/convnext_tiny."
            )
        # timm lists only the last maps of some models: the third of a ViT is the output of its twelfth block.
        self.name, self.size, self.map_index = name, size, info.out_indices[at[-1]]
        width = info.channels()[at[-1]]
        self.channels, self.last_width = (-(-one // MULTIPLE) * MULTIPLE for one in (width, info.channels()[-1]))
        # Not on the meta device: tables that timm computes, such as Swin's relative positions, are in no state dict.
        self.indices = (*(info.out_indices[index] for index in fine[-1:]), self.map_index)
        self.fine_channels = info.channels()[fine[-1]] if fine else 0
        self.body = create(name, size, pretrained=False, device="cpu", out_indices=self.indices)
        self.project = None if width == self.channels else conv(width, self.channels, 1)
        if self.project is not None:
            initialise(self.project)
        self.channels_innermost = str(getattr(self.body, "output_fmt", "")).endswith("NHWC")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        return self.levels(images)[COARSE]

    def levels(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Map normalised images to F and, if made for two levels, the map (B, c_8, H/8, W/8), by their strides."""
        coarse, *fine = reversed(self.maps(images))
        if self.project is not None:
            coarse = self.project(coarse)
        return dict(zip((COARSE, FINE), (coarse, *fine), strict=False))

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map normalised images to the model's own maps, (B, C, h, w) each, without the projection."""
        maps: list[torch.Tensor] = list(self.body(images))
        return [one.permute(0, 3, 1, 2).contiguous() for one in maps] if self.channels_innermost else maps

    def whole(self) -> Any:
        """Return timm's model with its classifier on the meta device: its own names, and shapes for `size`."""
        return create_whole(self.name, self.size)

    def names(self, whole: Any) -> dict[str, str]:
        """Return the names of the weights in timm's model, in order, by their names in `body`.

        timm's models with maps as their output have "stages_0." for "stages.0.", or "model." before every name.
        """
        own = self.body.state_dict()
        named = {
            other: name for name in whole.state_dict() for other in (name, f"model.{name}", name.replace(".", "_", 1))
        }
        return {name: named.get(name, name) for name in own}

    def layers(self) -> tuple[dict[str, int], set[str]]:
        """Return how many layers are after each of the model's weights, and those that timm never decays.

        Both by their names in this trunk. timm numbers the layers, its classifier being the last; the projection is in
        neither.
        """
        whole = self.whole()
        from timm.models import group_parameters

        numbers = group_parameters(whole, whole.group_matcher(coarse=False), reverse=True)
        spared = set(whole.no_weight_decay()) if hasattr(whole, "no_weight_decay") else set()
        last = max(numbers.values())
        weights = {own: name for own, name in self.names(whole).items() if name in numbers}
        return (
            {f"body.{own}": last - numbers[name] for own, name in weights.items()},
            {f"body.{own}" for own, name in weights.items() if name in spared},
        )

    def drop_paths(self, rate: float) -> None:
        """Leave out residual branches in training, more of them layer by layer up to `rate` (Huang et al. 2016).

        Raises ModelError if the model has no such branches.
        """
        try:
            body = create(
                self.name, self.size, pretrained=False, device="cpu", out_indices=self.indices, drop_path_rate=rate
            )
        except TypeError:
            body = None
        if body is None or not any(getattr(one, "drop_prob", 0) for one in body.modules()):
            raise ModelError(f"timm's {self.name} has no residual branches to leave out. Set drop_path=0.")
        body.load_state_dict(self.body.state_dict())
        self.body = body

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
        with without_retries():
            return create(name, size, pretrained=True, device="cpu", **options)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(
            f"timm's weights of {name} could not be downloaded ({reason}). Download them on a machine with a "
            "network, to the cache of $HF_HOME, or set weights=none for random initial weights."
        ) from None


def colours(name: str) -> tuple[Colour, Colour]:
    """Return mean and deviation of the colours that a model's published weights were trained with."""
    published = _published(name)
    (r, g, b), (dr, dg, db) = published.mean, published.std
    return (r, g, b), (dr, dg, db)


def repository(name: str) -> tuple[str, str | None]:
    """Return where on the hub a model's published weights are: "OWNER/NAME", and the file if it has a name of its own.

    Raises ModelError if timm publishes none there.
    """
    published = _published(name)
    if not published.hf_hub_id:
        raise ModelError(f"timm's weights of {name!r} are not on the hub. Download {published.url} and name that file.")
    return published.hf_hub_id, published.hf_hub_filename


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


def maps_of(name: str, size: tuple[int, int]) -> Any:
    """Return timm's description of a model's maps: strides, channels and indices. Needs no memory for weights.

    Raises ModelError if the model has no map at stride 16 or 14, or for a size that 14 does not divide.
    """
    info = create(name, size, pretrained=False, device="meta").feature_info
    strides = info.reduction()
    if not {COARSE, PATCH_14} & set(strides):
        raise ModelError(
            f"timm's {name} has maps at strides {strides}, none at {COARSE} or {PATCH_14}. "
            "Choose another trunk, as timm/convnext_tiny or timm/vit_base_patch16_224."
        )
    _check_size(name, size, COARSE if COARSE in strides else PATCH_14)
    return info


def create_whole(name: str, size: tuple[int, int]) -> Any:
    """Return timm's model for images of `size`, with its classifier, on the meta device."""
    with torch.device("meta"):
        try:
            return _timm().create_model(name, pretrained=False, img_size=size)
        except TypeError:
            return _timm().create_model(name, pretrained=False)


def _check_size(name: str, size: tuple[int, int], stride: int) -> None:
    """Raise ModelError unless height and width are divisible by a stride that is not 16."""
    if stride == COARSE or not any(side % stride for side in size):
        return
    height, width = (max(1, round(side / stride)) * stride for side in size)
    raise ModelError(
        f"timm's {name} has its map at stride {stride}, and {size[0]}x{size[1]} is not divisible by it. Set "
        f"train.height={height}, train.width={width} and train.network.main.size=[{height},{width}]."
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise NotInstalledError(
            f"A timm trunk needs timm, which is not installed. Install it: {install_command('timm')}"
        ) from None
    return timm
