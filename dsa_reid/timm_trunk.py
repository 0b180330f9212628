"""Trunks from timm (extra `timm`): any of its models that has a map at stride 16 or 14."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from .config import COARSE, FINE
from .errors import ModelError, NotInstalledError, SettingError
from .extras import install_command
from .hub import without_retries
from .residual import conv, initialise
from .vit import DEVIATION, VitOptions, as_map, check_plain, overlapping, tokens

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
        options: of a plain ViT.

    Attributes:
        stride: of that map; of overlapping patches theirs.
        channels: c_A, of that map; a 1×1 convolution, `project`, follows where the model's are not divisible by 32.
        fine_channels: of the map at stride 8; 0 without it.
        last_width: channels of the model's last stage, and dimensions of the heads' features, divisible by 32.
        sie: the cameras' embeddings, (cameras, 1, c_A); None without them.

    Raises ModelError if timm is not installed, or if it has no such model or the model no such map, or for a size that
    is not divisible by a stride of 14, or for options of ViTs that the model does not have.
    """

    sie: nn.Parameter | None

    def __init__(
        self, name: str, size: tuple[int, int], two_levels: bool = False, options: VitOptions | None = None
    ) -> None:
        super().__init__()
        self.options = options = options or VitOptions()
        info = maps_of(name, size, options)
        self.stride = COARSE if COARSE in info.reduction() else PATCH_14
        at = [index for index, stride in enumerate(info.reduction()) if stride == self.stride]
        fine = [index for index, stride in enumerate(info.reduction()) if stride == FINE] if two_levels else []
        if two_levels and not fine:
            raise SettingError(
                f"timm's {name} has maps at strides {info.reduction()}, none at {FINE}.",
                {"local_levels": [COARSE]},
                "choose another trunk, as timm/convnext_tiny",
            )
        # timm lists only the last maps of some models: the third of a ViT is the output of its twelfth block.
        self.name, self.size, self.map_index = name, size, info.out_indices[at[-1]]
        width = info.channels()[at[-1]]
        self.channels, self.last_width = (-(-one // MULTIPLE) * MULTIPLE for one in (width, info.channels()[-1]))
        # Not on the meta device: tables that timm computes, such as Swin's relative positions, are in no state dict.
        self.indices = (*(info.out_indices[index] for index in fine[-1:]), self.map_index)
        self.fine_channels = info.channels()[fine[-1]] if fine else 0
        self.stride = options.stride or self.stride
        self.body = self._body()
        self.project = None if width == self.channels else conv(width, self.channels, 1)
        if self.project is not None:
            initialise(self.project)
        if options.token and self.project is not None:
            raise SettingError(
                f"global_feature = 'token' needs tokens that {MULTIPLE} divides, and timm's {name} has {width}.",
                {"global_feature": "pooled"},
                "choose another trunk, as timm/vit_base_patch16_224",
            )
        self.channels_innermost = str(getattr(self.body, "output_fmt", "")).endswith("NHWC")
        self.register_parameter("sie", None)
        if options.sie:
            self.sie = nn.Parameter(torch.empty(options.cameras, 1, width))
            nn.init.trunc_normal_(self.sie, std=DEVIATION)

    def _body(self, **options: Any) -> Any:
        """Return timm's model with its maps as output; with the last norm where the class token passes through it."""
        body = create(
            self.name, self.size, pretrained=False, device="cpu", out_indices=self.indices, **self._patches, **options
        )
        if self.options.token:
            norm = self.whole().norm.to_empty(device="cpu")
            if hasattr(norm, "reset_parameters"):
                norm.reset_parameters()
            body.model.norm = norm
        return body

    @property
    def _patches(self) -> dict[str, Any]:
        """The argument of timm's models for overlapping patches; none for others."""
        return {"embed_layer": overlapping(self.options.stride)} if self.options.stride else {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map normalised images (B, 3, H, W) to F (B, c_A, H/16, W/16)."""
        return self.levels(images)[COARSE]

    def levels(self, images: torch.Tensor) -> dict[int, torch.Tensor]:
        """Map normalised images to F and, if made for two levels, the map (B, c_8, H/8, W/8), by their strides."""
        if self.options.any:
            return self.with_token(images)[0]
        coarse, *fine = reversed(self.maps(images))
        return dict(zip((COARSE, FINE), (self._projected(coarse), *fine), strict=False))

    def with_token(
        self, images: torch.Tensor, cameras: torch.Tensor | None = None
    ) -> tuple[dict[int, torch.Tensor], torch.Tensor | None]:
        """Map normalised images to F, as `levels`, and to the class token (B, c_A); None without that option.

        Args:
            cameras: int64 (B), the index of each image's camera, -1 for one that is not known; None for none known.
        """
        model = self.body.model
        last = tokens(model, images, self._camera(cameras))
        F_ = as_map(model, last, (images.shape[2], images.shape[3]))
        return {COARSE: self._projected(F_)}, model.norm(last)[:, 0] if self.options.token else None

    def _camera(self, cameras: torch.Tensor | None) -> torch.Tensor | None:
        """Return what is added to the tokens for their cameras, (B, 1, D) or (1, 1, D)."""
        if self.sie is None or not len(self.sie):  # of a network whose training has not begun
            return None
        unknown = self.sie.mean(0, keepdim=True)
        unknown = unknown if self.options.unknown == "mean" else torch.zeros_like(unknown)
        # The index -1 is that of the last row.
        return self.options.sie * (unknown if cameras is None else torch.cat([self.sie, unknown])[cameras])

    def _projected(self, coarse: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = coarse if self.project is None else self.project(coarse)
        return projected

    def maps(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Map normalised images to the model's own maps, (B, C, h, w) each, without the projection."""
        maps: list[torch.Tensor] = list(self.body(images))
        return [one.permute(0, 3, 1, 2).contiguous() for one in maps] if self.channels_innermost else maps

    def whole(self) -> Any:
        """Return timm's model with its classifier on the meta device: its own names, and shapes for `size`."""
        return create_whole(self.name, self.size, **self._patches)

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
            body = self._body(drop_path_rate=rate)
        except TypeError:
            body = None
        if body is None or not any(getattr(one, "drop_prob", 0) for one in body.modules()):
            raise SettingError(f"timm's {self.name} has no residual branches to leave out.", {"drop_path": 0})
        body.load_state_dict(self.body.state_dict())
        self.body = body

    def load_pretrained(self) -> None:
        """Load the weights that timm publishes for the model. Raises ModelError if they cannot be downloaded."""
        if self.options.token:  # whose norm is not in the model that has maps as its output
            source = download(self.name, self.size, whole=True, **self._patches).state_dict()
            self.body.load_state_dict({own: source[name] for own, name in self.names(self.whole()).items()})
            return
        source = download(self.name, self.size, out_indices=self.indices, **self._patches)
        self.body.load_state_dict(source.state_dict())


def download(name: str, size: tuple[int, int], whole: bool = False, **options: Any) -> Any:
    """Return timm's model with the weights that timm publishes for it. Raises ModelError if that cannot be downloaded.

    Args:
        whole: with its classifier, and not with maps as its output.
        options: of timm's model.
    """
    _published(name)  # without published weights, timm would leave random ones, with a warning
    try:
        with without_retries():
            if whole:
                return _timm().create_model(name, pretrained=True, img_size=size, **options)
            return create(name, size, pretrained=True, device="cpu", **options)
    except (OSError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SettingError(
            f"timm's weights of {name} could not be downloaded ({reason}).",
            {"weights": "none"},
            "download them on a machine with a network, to the cache of $HF_HOME",
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
        raise SettingError(f"timm publishes no weights of {name!r}.", {"weights": "none"}, "name a file of weights")
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


def maps_of(name: str, size: tuple[int, int], options: VitOptions | None = None) -> Any:
    """Return timm's description of a model's maps: strides, channels and indices. Needs no memory for weights.

    Raises ModelError if the model has no map at stride 16 or 14, for a size that 14 does not divide, or for options of
    ViTs that the model does not have.
    """
    info = create(name, size, pretrained=False, device="meta").feature_info
    strides = info.reduction()
    if not {COARSE, PATCH_14} & set(strides):
        raise ModelError(
            f"timm's {name} has maps at strides {strides}, none at {COARSE} or {PATCH_14}. "
            "Choose another trunk, as timm/convnext_tiny or timm/vit_base_patch16_224."
        )
    if options is not None and options.any:
        check_plain(create_whole(name, size), name, options)
    if options is None or not options.stride:  # overlapping patches leave a rest unread
        _check_size(name, size, COARSE if COARSE in strides else PATCH_14)
    return info


def create_whole(name: str, size: tuple[int, int], **options: Any) -> Any:
    """Return timm's model for images of `size`, with its classifier, on the meta device."""
    with torch.device("meta"):
        try:
            return _timm().create_model(name, pretrained=False, img_size=size, **options)
        except TypeError:
            return _timm().create_model(name, pretrained=False, **options)


def _check_size(name: str, size: tuple[int, int], stride: int) -> None:
    """Raise ModelError unless height and width are divisible by a stride that is not 16."""
    if stride == COARSE or not any(side % stride for side in size):
        return
    height, width = (max(1, round(side / stride)) * stride for side in size)
    raise SettingError(
        f"timm's {name} has its map at stride {stride}, and images of {size[0]}x{size[1]} are not divisible by it.",
        {"size": [height, width]},
        "choose a trunk of stride 16, as timm/vit_base_patch16_224",
    )


def _timm() -> Any:
    try:
        import timm
    except ImportError:
        raise NotInstalledError(
            f"A timm trunk needs timm, which is not installed. Install it: {install_command('timm')}"
        ) from None
    return timm
