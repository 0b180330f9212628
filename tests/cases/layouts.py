"""Files of pretrained weights as other projects write them, made of random weights of a source model.

Each function takes the source model's state dict and returns the content of a file. `osnet` writes torchreid's network
again, as an oracle for ours; `openmmlab_merging` writes OpenMMLab's patch merging.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

State = dict[str, torch.Tensor]


def prefixed(prefix: str, state: State) -> State:
    return {f"{prefix}{name}": value for name, value in state.items()}


def moco(state: State) -> dict[str, Any]:
    """MoCo v2 and LUPerson's ResNet-50: query and momentum encoders, the queue, and the arguments."""
    other = {name: torch.full_like(value, 7) for name, value in state.items()}
    weights = prefixed("module.encoder_k.", other) | prefixed("module.encoder_q.", state)
    arguments = argparse.Namespace(arch="resnet50", lr=0.03)
    return {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": weights | {"module.queue": torch.zeros(2)},
        "args": arguments,
    }


def dino(state: State) -> dict[str, Any]:
    """DINO, TransReID-SSL and PersonViT: student and teacher."""
    other = {name: torch.full_like(value, 7) for name, value in state.items()}
    student = prefixed("module.backbone.", other)
    teacher = prefixed("backbone.", state) | {"head.mlp.0.weight": torch.zeros(3, 3)}
    return {"student": student, "teacher": teacher, "epoch": 99, "args": argparse.Namespace(arch="vit_small")}


def torchreid(state: State) -> dict[str, Any]:
    """torchreid's save_checkpoint: the best Rank-1 is a NumPy number."""
    weights = prefixed("module.", state) | {"module.classifier.weight": torch.zeros(3, 3)}
    return {
        "state_dict": weights,
        "epoch": 60,
        "rank1": np.float64(0.9),
        "optimizer": {"state": {}, "param_groups": []},
    }


def fast_reid(state: State) -> dict[str, Any]:
    heads = {"heads.bottleneck.0.weight": torch.ones(3), "heads.weight": torch.zeros(3, 3), "pixel_mean": torch.ones(3)}
    return {"model": prefixed("backbone.", state) | heads, "iteration": 7, "optimizer": {"state": {}}}


def transreid(state: State) -> State:
    """TransReID: the ViT under "base.", camera embeddings, and the jigsaw branch, which has a block of its own."""
    last = {name[len("blocks.11.") :]: value for name, value in state.items() if name.startswith("blocks.11.")}
    more = {"base.sie_embed": torch.zeros(6, 1, 3), "classifier.weight": torch.zeros(3, 3)}
    return prefixed("base.", state) | more | prefixed("b1.0.", last)


CLIP = (
    ("patch_embed.proj", "conv1"), ("norm_pre", "ln_pre"), ("blocks.", "transformer.resblocks."),
    (".norm1", ".ln_1"), (".norm2", ".ln_2"), ("attn.qkv.", "attn.in_proj_"), ("attn.proj.", "attn.out_proj."),
    ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
)  # fmt: skip


def clip(state: State) -> State:
    """CLIP's visual half, in half precision, beside the text's."""
    named = {}
    for name, value in state.items():
        if name == "cls_token":
            name, value = "class_embedding", value[0, 0]
        elif name == "pos_embed":
            name, value = "positional_embedding", value[0]
        for ours, theirs in CLIP:
            name = name.replace(ours, theirs)
        named["ln_post" + name[4:] if name.startswith("norm.") else name] = value
    return prefixed("visual.", named) | {"text_projection": torch.zeros(2, 2), "logit_scale": torch.zeros(())}


def clip_reid(state: State) -> State:
    image = {name.replace("visual.", "image_encoder."): value for name, value in clip(state).items()}
    return image | {"prompt_learner.cls_ctx": torch.zeros(2, 2), "classifier.weight": torch.zeros(3, 3)}


def original_swin(state: State) -> State:
    """Microsoft's Swin: a stage's patch merging is at its end, in timm at the start of the next."""
    named = {}
    for name, value in state.items():
        words = name.split(".")
        if words[0] == "layers" and words[2] == "downsample":
            words[1] = str(int(words[1]) - 1)
        named[".".join(words)] = value
    return named


def solider(state: State) -> dict[str, Any]:
    """SOLIDER's Swin: OpenMMLab's names and its order of the pixels that are merged, from SOLIDER-REID's converter."""
    named = {}
    for name, value in original_swin(state).items():
        if ".downsample." in name:  # (…, 4, C) pixels column by column -> (…, C, 4) row by row
            value = value.reshape(*value.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :].transpose(-1, -2).flatten(-2)
        name = name.replace("layers.", "stages.", 1) if name.startswith("layers.") else name
        name = name.replace("patch_embed.proj.", "patch_embed.projection.").replace(".attn.", ".attn.w_msa.")
        named[name.replace(".mlp.fc1.", ".ffn.layers.0.0.").replace(".mlp.fc2.", ".ffn.layers.1.")] = value
    return {"teacher": prefixed("backbone.", named), "epoch": 100}


def openmmlab_merging(x: torch.Tensor, norm: State, reduction: torch.Tensor) -> torch.Tensor:
    """OpenMMLab's patch merging of (B, C, H, W) to (B, H/2 · W/2, 2·C), with its weights."""
    merged = nn.Unfold(2, stride=2)(x).transpose(1, 2)
    return F.layer_norm(merged, merged.shape[-1:], norm["weight"], norm["bias"]) @ reduction.T


class Layer(nn.Module):
    """torchreid's ConvLayer, Conv1x1 and Conv1x1Linear."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, relu: bool, instance: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.InstanceNorm2d(outputs, affine=True) if instance else nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.bn(self.conv(x)))


class Light(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.bn(self.conv2(self.conv1(x))))


class Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, channels // 16, 1)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(self.pool(x))))) * x


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, instance: bool) -> None:
        super().__init__()
        inner = outputs // 4
        self.conv1 = Layer(inputs, inner, 1, 1, relu=True, instance=False)
        self.conv2a = Light(inner)
        self.conv2b = nn.Sequential(Light(inner), Light(inner))
        self.conv2c = nn.Sequential(Light(inner), Light(inner), Light(inner))
        self.conv2d = nn.Sequential(Light(inner), Light(inner), Light(inner), Light(inner))
        self.gate = Gate(inner)
        self.conv3 = Layer(inner, outputs, 1, 1, relu=False, instance=False)
        if inputs != outputs:
            self.downsample = Layer(inputs, outputs, 1, 1, relu=False, instance=False)
        if instance:
            self.IN = nn.InstanceNorm2d(outputs, affine=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.conv1(x)
        gated = [self.gate(stream(first)) for stream in (self.conv2a, self.conv2b, self.conv2c, self.conv2d)]
        out = self.conv3(sum(gated)) + (self.downsample(x) if hasattr(self, "downsample") else x)
        return torch.relu(self.IN(out) if hasattr(self, "IN") else out)


class TorchreidOsNet(nn.Module):
    """OSNet as torchreid has it, with its embedding and classifier; `maps` is its featuremaps."""

    def __init__(self, channels: tuple[int, int, int, int], instance: bool = False) -> None:
        super().__init__()
        first, second, third, last = channels
        self.conv1 = Layer(3, first, 7, 2, relu=True, instance=instance)
        self.conv2 = self._stage(first, second, shrink=True, instance=instance)
        self.conv3 = self._stage(second, third, shrink=True)
        self.conv4 = self._stage(third, last, shrink=False)
        self.conv5 = Layer(last, last, 1, 1, relu=True, instance=False)
        self.fc = nn.Sequential(nn.Linear(last, 512), nn.BatchNorm1d(512), nn.ReLU())
        self.classifier = nn.Linear(512, 10)

    @staticmethod
    def _stage(inputs: int, outputs: int, shrink: bool, instance: bool = False) -> nn.Sequential:
        layers: list[nn.Module] = [Block(inputs, outputs, instance), Block(outputs, outputs, instance)]
        if shrink:
            transition = Layer(outputs, outputs, 1, 1, relu=True, instance=False)
            layers.append(nn.Sequential(transition, nn.AvgPool2d(2, stride=2)))
        return nn.Sequential(*layers)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.MaxPool2d(3, stride=2, padding=1)(self.conv1(x))
        return self.conv5(self.conv4(self.conv3(self.conv2(x))))


def randomised(model: nn.Module) -> nn.Module:
    """Return a model in evaluation mode whose norms, statistics and embeddings are random too."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.is_floating_point() and (value.ndim < 2 or "embed" in name or "token" in name or "table" in name):
                value.copy_(torch.rand(value.shape, generator=generator) * 0.4 + (0.8 if value.ndim == 1 else 0.0))
    return model.eval()


Layout = Callable[[State], Any]
