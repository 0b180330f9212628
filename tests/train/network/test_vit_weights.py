"""Weights for a ViT with overlapping patches and a class token: interpolated positions, and the last norm."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="the extra `timm` is not installed")

import layouts
from dsa_reid import MainStream, MainStreamConfig
from dsa_train.network.weights import load_weights

NAME = "vit_tiny_patch16_224"


def whole(size: tuple[int, int]) -> torch.nn.Module:
    import timm

    torch.manual_seed(3)
    return layouts.randomised(timm.create_model(NAME, img_size=size))


def stream(size: tuple[int, int]) -> MainStream:
    torch.manual_seed(0)
    settings = {"patch_stride": 12, "global_feature": "token", "heads": "global", "sie": 3.0, "cameras": (1, 2)}
    return MainStream(MainStreamConfig(trunk=f"timm/{NAME}", size=size, **settings))


def test_positions_are_interpolated_to_the_overlapping_patches(tmp_path: Path) -> None:
    from timm.layers.pos_embed import resample_abs_pos_embed

    theirs = whole((224, 224)).state_dict()
    torch.save(theirs, tmp_path / "vit.pth")
    main = stream((256, 128))
    cameras = main.trunk.sie.detach().clone()
    report = load_weights(main, str(tmp_path / "vit.pth"))
    own = main.trunk.body.model.state_dict()
    assert report is not None
    assert (report.missing, report.interpolated, report.unused) == ((), ("pos_embed",), ("head.weight", "head.bias"))
    expected = resample_abs_pos_embed(theirs["pos_embed"], [21, 10], [14, 14], num_prefix_tokens=1)
    assert torch.equal(own["pos_embed"], expected)
    for name in ("norm.weight", "norm.bias", "cls_token", "patch_embed.proj.weight"):
        assert torch.equal(own[name], theirs[name]), name
    assert torch.equal(main.trunk.sie, cameras), "no file has them"


def test_transreids_own_grid_is_taken_as_it_is(tmp_path: Path) -> None:
    """Its position embeddings with stride 12 are of 21×10 patches, a number that is no square."""
    source = stream((256, 128))
    with torch.no_grad():
        source.trunk.body.model.pos_embed.normal_(generator=torch.Generator().manual_seed(1))
    weights = source.trunk.body.model.state_dict()
    torch.save(layouts.transreid(weights), tmp_path / "vit.pth")
    main = stream((256, 128))
    report = load_weights(main, str(tmp_path / "vit.pth"))
    assert report is not None
    assert (report.missing, report.interpolated) == ((), ())
    assert torch.equal(main.trunk.body.model.pos_embed, weights["pos_embed"])
