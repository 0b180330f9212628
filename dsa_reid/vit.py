"""What timm's plain ViTs have beside a map: overlapping patches, the class token, and an embedding of the camera."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch

from .config import VIT_OFF, for_vits_alone
from .errors import SettingError

UNKNOWN = -1  # the index of a camera that is not known, or not one of the training
DEVIATION = 0.02  # of the cameras' initial embeddings, as TransReID's code has it


class VitOptions(NamedTuple):
    """What a trunk does that is a plain ViT.

    Attributes:
        stride: of its patches, in pixels; 0 for the patch's own size, which leaves no overlap.
        token: whether the class token is the global feature.
        sie: λ of the camera's embedding; 0 for none.
        cameras: how many cameras have an embedding.
        unknown: what an unknown camera adds: the "mean" embedding, or "zero".
    """

    stride: int = 0
    token: bool = False
    sie: float = 0.0
    cameras: int = 0
    unknown: str = "mean"

    @property
    def in_use(self) -> dict[str, object]:
        """The settings that differ, by their names in `MainStreamConfig`, each with the value that switches it off."""
        used = {"patch_stride": self.stride, "sie": self.sie, "global_feature": self.token}
        return {name: off for name, off in VIT_OFF.items() if used[name]}

    @property
    def any(self) -> bool:
        """Whether anything differs from a trunk that gives its map alone."""
        return bool(self.stride or self.token or self.sie)


def camera_indices(cameras: Sequence[int], camids: Iterable[int]) -> torch.Tensor:
    """Return the index of each camera in `cameras`, int64 (B); `UNKNOWN` for one that is not there."""
    index = {camid: number for number, camid in enumerate(cameras)}
    return torch.tensor([index.get(int(camid), UNKNOWN) for camid in camids], dtype=torch.int64, device="cpu")


def check_plain(model: Any, name: str, options: VitOptions) -> None:
    """Raise SettingError unless timm's model is a ViT that has what the options ask for."""
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(model, VisionTransformer):
        raise for_vits_alone(options.in_use, f"{name} is a {type(model).__name__}")
    size = max(model.patch_embed.patch_size)
    if options.stride > size:
        raise SettingError(
            f"patch_stride = {options.stride} leaves out pixels: the patches of timm's {name} are of {size}. Use at "
            f"most {size}; 0 switches the overlap off.",
            {"patch_stride": 0},
            f"to less than {size} for patches that overlap",
        )
    if options.token and not (model.has_class_token and model.global_pool == "token"):
        raise SettingError(
            f"timm's {name} pools its tokens by {model.global_pool!r} and not by a class token.",
            {"global_feature": "pooled"},
            "choose another trunk, as timm/vit_base_patch16_224",
        )


def overlapping(stride: int) -> Any:
    """Return timm's patch embedding with patches every `stride` pixels (He et al. 2021, TransReID, section 3.1).

    Of a height H and a patch size P there are (H - P) // stride + 1 rows; pixels below the last are not read.
    """
    from timm.layers.patch_embed import PatchEmbed

    class OverlappingPatches(PatchEmbed):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.proj.stride = (stride, stride)
            if self.img_size is not None:
                self.grid_size = self.dynamic_feat_size(self.img_size)
                self.num_patches = self.grid_size[0] * self.grid_size[1]

        def dynamic_feat_size(self, img_size: tuple[int, int]) -> tuple[int, int]:
            """Return the rows and columns of patches in an image of a height and width."""
            rows, columns = (
                (side - patch) // stride + 1 for side, patch in zip(img_size, self.patch_size, strict=True)
            )
            return rows, columns

    return OverlappingPatches


def tokens(model: Any, images: torch.Tensor, camera: torch.Tensor | None = None) -> torch.Tensor:
    """Return the tokens after a ViT's last block, before its last norm: images (B, 3, H, W) to (B, n, D).

    As timm's `forward_features`, but for the camera.

    Args:
        camera: added to every token beside its position's embedding, (B, 1, D) or (1, 1, D) (TransReID, side
            information embeddings).
    """
    x = model._pos_embed(model.patch_embed(images))
    if camera is not None:
        x = x + camera
    x = model.norm_pre(model.patch_drop(x))
    last: torch.Tensor = model.blocks(x)
    return last


def as_map(model: Any, last: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the patches' tokens (B, n, D) as a map (B, D, h, w).

    Args:
        size: height and width of the images.
    """
    h, w = model.patch_embed.dynamic_feat_size(size)
    patches: torch.Tensor = last[:, model.num_prefix_tokens :].transpose(1, 2)  # (B, D, h·w)
    F_: torch.Tensor = patches.unflatten(2, (h, w)).contiguous()
    return F_
