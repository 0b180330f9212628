"""Plain ViTs: class token, overlapping patches and cameras against timm's forward pass and convolutions by hand."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="the extra `timm` is not installed")

from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing, load, save
from dsa_reid.timm_trunk import TimmTrunk
from dsa_reid.vit import VitOptions

SIZE = (64, 32)
VIT = "vit_tiny_patch16_224"
TOKEN = {"global_feature": "token"}
SIE = {"sie": 2.5, "cameras": (3, 7, 8)}


def stream(name: str = VIT, **settings: object) -> MainStream:
    torch.manual_seed(0)
    return MainStream(MainStreamConfig(trunk=f"timm/{name}", size=SIZE, **settings)).eval()


def whole_of(network: MainStream) -> torch.nn.Module:
    """Return timm's own model, with its class token pooled, and the weights of a main stream's trunk."""
    import timm

    theirs = timm.create_model(VIT, img_size=SIZE, num_classes=0, global_pool="token").eval()
    own = network.trunk.body.model.state_dict()
    theirs.load_state_dict({key: own[key] for key in theirs.state_dict()})
    return theirs


def images(B: int = 3) -> torch.Tensor:
    return torch.randn(B, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def randomise(network: MainStream) -> MainStream:
    """Let the last norm be none of its initial values, as after a training."""
    for weight in network.trunk.body.model.norm.parameters():
        weight.add_(torch.rand(weight.shape, generator=torch.Generator().manual_seed(2)))
    return network


@torch.no_grad()
def test_the_class_token_is_timms_pooled_feature() -> None:
    network = randomise(stream(**TOKEN))
    f_global, f_local = network(images())
    torch.testing.assert_close(f_global, whole_of(network)(images()), atol=1e-5, rtol=1e-5)
    assert f_local.shape == (3, 8, 192 // 8)
    assert network.global_head is None
    assert network.parts == {"global": 192, "local": 192}
    plain = stream()
    assert torch.equal(plain.trunk.body.model.pos_embed, network.trunk.body.model.pos_embed)
    torch.testing.assert_close(network.trunk(images()), plain.trunk(images()), msg="the map has no norm")


@torch.no_grad()
def test_overlapping_patches_are_a_convolution_of_stride_12_by_hand() -> None:
    """Each token is the product of the kernel with 16×16 pixels, 12 pixels on; the rest on the right is not read."""
    network = stream(patch_stride=12)
    model, x = network.trunk.body.model, images()
    weight, bias = model.patch_embed.proj.weight, model.patch_embed.proj.bias
    rows, columns = (64 - 16) // 12 + 1, (32 - 16) // 12 + 1
    expected = torch.stack(
        [
            torch.einsum("bchw,dchw->bd", x[:, :, 12 * r : 12 * r + 16, 12 * c : 12 * c + 16], weight) + bias
            for r in range(rows)
            for c in range(columns)
        ],
        dim=1,
    )
    torch.testing.assert_close(model.patch_embed(x), expected, atol=1e-5, rtol=1e-5)
    assert (rows, columns) == (5, 2)
    assert model.pos_embed.shape[1] == 1 + 10
    assert network.trunk(x).shape == (3, 192, 5, 2)
    assert network.trunk.stride == 12
    changed = x.clone()
    changed[:, :, :, 28:] += 5
    assert torch.equal(model.patch_embed(changed), model.patch_embed(x)), "a rest of four columns is not read"


@torch.no_grad()
def test_a_stride_of_the_patch_size_is_the_trunk_without_overlap() -> None:
    plain, same = stream(), stream(patch_stride=16)
    same.load_state_dict(plain.state_dict())
    torch.testing.assert_close(same(images()), plain(images()))


@torch.no_grad()
def test_a_camera_is_added_to_every_token_beside_its_position() -> None:
    """As timm's model whose position embeddings have λ times the camera's embedding added."""
    network = randomise(stream(**TOKEN, **SIE))
    x, theirs = images(), whole_of(network)
    before = theirs.pos_embed.clone()
    for index in range(3):
        theirs.pos_embed.copy_(before + 2.5 * network.trunk.sie[index])
        found = network(x, torch.full((3,), index)).global_
        torch.testing.assert_close(found, theirs(x), atol=1e-5, rtol=1e-5)
    mixed = network(x, torch.tensor([2, -1, 0]))
    for n, index in enumerate([2, -1, 0]):
        torch.testing.assert_close(mixed.local[n], network(x, torch.full((3,), index)).local[n])
    theirs.pos_embed.copy_(before + 2.5 * network.trunk.sie.mean(0))
    for unknown in (network(x), network(x, torch.full((3,), -1))):
        torch.testing.assert_close(unknown.global_, theirs(x), atol=1e-5, rtol=1e-5)
    zero = stream(**TOKEN, **SIE, unknown_camera="zero")
    zero.load_state_dict(network.state_dict())
    theirs.pos_embed.copy_(before)
    torch.testing.assert_close(zero(x).global_, theirs(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [TOKEN | {"heads": "global"}, TOKEN | SIE | {"patch_stride": 12, "neck": "bn"}, {"patch_stride": 12, **SIE}],
    ids=["token alone", "all", "stride and cameras"],
)
def test_the_model_file_has_them(settings: dict, tmp_path: Path) -> None:
    network = stream(**settings)
    restored = load(save(network, tmp_path / "model.pt", Preprocessing(*SIZE))).main_stream
    assert restored.config == network.config
    with torch.no_grad():
        for one, other in zip(restored(images()), network(images()), strict=True):
            assert one is other is None or torch.equal(one, other)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"trunk": "resnet50", "sie": 3.0},
            "^sie is for timm's plain ViTs, and the trunk is resnet50; 0 switches it off. Set sie = 0.0, or choose",
        ),
        (
            {"trunk": "osnet_x1_0", "patch_stride": 12},
            "patch_stride is for timm's plain ViTs, and the trunk is osnet_x1_0; 0 sw",
        ),
        ({"trunk": "resnet18", **TOKEN}, "for timm's plain ViTs, and the trunk is resnet18; 'pooled' switches it off"),
        ({"trunk": f"timm/{VIT}", **TOKEN, "heads": "local"}, "needs a global feature"),
        ({"trunk": f"timm/{VIT}", **TOKEN, "heads": "global", "pooling": "gem"}, "has no maps"),
        ({"trunk": f"timm/{VIT}", "cameras": (1, 2)}, "embedding of the camera, and sie = 0 switches it off"),
        ({"trunk": f"timm/{VIT}", "unknown_camera": "zero"}, "and sie = 0 switches it off. Set sie = 3.0"),
        ({"trunk": f"timm/{VIT}", "patch_stride": -1}, "patch_stride = -1 is invalid.*or 0 to switch it off"),
        ({"trunk": f"timm/{VIT}", "sie": float("nan")}, "sie = nan is invalid.*or 0 to switch it off"),
        ({"trunk": "resnet18", "sie": 1, "patch_stride": 12}, "^patch_stride and sie are for .*; 0 switches them off"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(settings: dict, words: str) -> None:
    with pytest.raises(ModelError, match=words) as error:
        MainStreamConfig(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("convnext_atto", VitOptions(stride=12), "plain ViTs, and convnext_atto is a ConvNeXt; 0 switches it off"),
        ("eva02_tiny_patch14_224", VitOptions(token=True), "plain ViTs, and eva02_tiny_patch14_224 is a Eva"),
        ("vit_base_patch16_siglip_224", VitOptions(token=True), "pools its tokens by 'map' and not by a class token"),
        (VIT, VitOptions(stride=20), "patch_stride = 20 leaves out pixels.*Use at most 16; 0 switches"),
    ],
)
def test_models_without_them_are_refused_before_they_are_built(name: str, options: VitOptions, words: str) -> None:
    size = (70, 42) if "14" in name else SIZE
    with pytest.raises(ModelError, match=words):
        TimmTrunk(name, size, options=options)
