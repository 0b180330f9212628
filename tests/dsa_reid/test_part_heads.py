"""Heads of other methods against their authors' definition, written again here from the papers with plain modules."""

import copy
from collections.abc import Mapping

import pytest
import torch
import torchvision
from torch import nn

from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing, export, load, load_exported, save
from dsa_reid.folding import folded
from dsa_reid.part_heads import stripes

HEADS = ("plain", "pcb", "mgn")


def randomise_norms(network: nn.Module) -> None:
    """Give batch norm statistics that differ between channels."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            nn.init.normal_(module.running_mean, std=0.1)
            if module.bias.requires_grad:
                nn.init.normal_(module.bias, std=0.1)


def resnet50(last_stride: int = 1) -> nn.Module:
    """Return torchvision's ResNet-50 with random weights in float64, and another stride of conv5_x."""
    torch.manual_seed(0)
    network = torchvision.models.resnet50(weights=None).double().eval()
    randomise_norms(network)
    _set_stride(network.layer4, last_stride)
    return network


def _set_stride(layer4: nn.Sequential, stride: int) -> None:
    layer4[0].conv2.stride = layer4[0].downsample[0].stride = (stride, stride)


def before_conv5(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the map of conv4_x."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(images))))
    return network.layer3(network.layer2(network.layer1(x)))


def trunk_of(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights of conv1 to conv4_x."""
    return {name: value for name, value in network.state_dict().items() if not name.startswith(("layer4", "fc"))}


class Reduced(nn.Module):
    """1×1 convolution to 256, batch norm, ReLU."""

    def __init__(self, channels: int = 2048) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 256, 1, bias=False), nn.BatchNorm2d(256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.norm(self.conv(x)))

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Return the weights under our names."""
        pairs = (("conv1", self.conv), ("bn1", self.norm))
        return {f"{own}.{name}": value for own, layer in pairs for name, value in layer.state_dict().items()}


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(2, 3, 192, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_pcb_is_what_sun_et_al_define(images: torch.Tensor) -> None:
    """Section 3.1: T at stride 16 by the last stride of 1, six stripes averaged to g_i, reduced to h_i of 256."""
    network, reduction = resnet50(), Reduced().double().eval()
    randomise_norms(reduction)
    T = network.layer4(before_conv5(network, images))
    h = reduction(nn.AvgPool2d((T.shape[2] // 6, T.shape[3]))(T))  # (B, 256, 6, 1)
    expected = torch.cat([h[:, :, stripe, 0] for stripe in range(6)], dim=1)

    ours = MainStream(MainStreamConfig(heads="global", head="pcb")).double().eval()
    ours.trunk.load_state_dict(trunk_of(network))
    ours.global_head.load_state_dict(network.layer4.state_dict())
    ours.part_head.reduction.load_state_dict(reduction.weights())
    look = ours.look(images)
    torch.testing.assert_close(ours(images).global_, expected)
    assert ours.parts == {"global": 1536}
    assert list(look.pieces.classified) == [f"stripe_{i}" for i in range(6)]
    torch.testing.assert_close(torch.cat(list(look.pieces.classified.values()), dim=1), expected)
    assert look.pieces.compared == {}


@torch.no_grad()
def test_mgn_is_what_wang_et_al_define(images: torch.Tensor) -> None:
    """Section 3.1 and table 1: three branches after res4_1, of which the global one down-samples in res5_1."""
    network = resnet50(last_stride=2)
    first = nn.Sequential(
        network.conv1, network.bn1, network.relu, network.maxpool, network.layer1, network.layer2, network.layer3[0]
    )
    branches = []
    for stride in (2, 1, 1):
        branch = nn.Sequential(copy.deepcopy(network.layer3[1:]), copy.deepcopy(network.layer4))
        for parameter in branch.parameters():  # no two branches share weights
            parameter.add_(0.01 * torch.randn_like(parameter))
        _set_stride(branch[1], stride)
        branches.append(branch)
    reductions = nn.ModuleList(Reduced() for _ in range(8)).double().eval()
    randomise_norms(reductions)

    x = first(images)
    whole, halves, thirds = (branch(x) for branch in branches)
    assert whole.shape[2:] == (6, 2)
    assert halves.shape[2:] == thirds.shape[2:] == (12, 4)
    pool = nn.functional.max_pool2d
    z_whole = [pool(each, each.shape[2:]) for each in (whole, halves, thirds)]
    z_halves, z_thirds = pool(halves, (6, 4)), pool(thirds, (4, 4))
    z = [*z_whole, *(z_halves[:, :, i : i + 1] for i in range(2)), *(z_thirds[:, :, i : i + 1] for i in range(3))]
    f = [reduce(each)[:, :, 0, 0] for reduce, each in zip(reductions, z, strict=True)]

    ours = MainStream(MainStreamConfig(heads="global", head="mgn")).double().eval()
    kept = {name: value for name, value in trunk_of(network).items() if not name.startswith("layer3")}
    kept |= {f"layer3.0.{name}": value for name, value in network.layer3[0].state_dict().items()}
    ours.trunk.load_state_dict(kept)
    for own, branch in zip(ours.part_head.branches, branches, strict=True):
        own[0].load_state_dict({_counted_from_0(name): value for name, value in branch[0].state_dict().items()})
        own[1].load_state_dict(branch[1].state_dict())
    for own, reduction in zip(ours.part_head.reductions.values(), reductions, strict=True):
        own.load_state_dict(reduction.weights())
    pieces = ours.look(images).pieces
    torch.testing.assert_close(ours(images).global_, torch.cat(f, dim=1))
    assert ours.parts == {"global": 2048}
    # Softmax losses on z of the three whole maps and on f of the five stripes, triplet losses on f of the whole maps.
    expected = [each[:, :, 0, 0] for each in z_whole] + f[3:]
    for ours_, theirs in zip(pieces.classified.values(), expected, strict=True):
        torch.testing.assert_close(ours_, theirs)
    for ours_, theirs in zip(pieces.compared.values(), f[:3], strict=True):
        torch.testing.assert_close(ours_, theirs)


def _counted_from_0(name: str) -> str:
    """Return the name of a weight in `layer3[1:]`, which torch numbers from 0 or from 1, by the version."""
    number, _, rest = name.partition(".")
    return f"{int(number) - OFFSET}.{rest}"


OFFSET = int(next(iter(dict(nn.Sequential(nn.Identity(), nn.Identity())[1:].named_children()))))


@torch.no_grad()
def test_bot_is_what_luo_et_al_define(images: torch.Tensor) -> None:
    """Section 3: last stride 1, the average pooled feature f_t for the triplet loss, f_i = BN(f_t) for the identity."""
    network, neck = resnet50(), nn.BatchNorm1d(2048).double().eval()
    neck.bias.requires_grad_(False)
    randomise_norms(neck)
    f_t = network.layer4(before_conv5(network, images)).mean((2, 3))

    ours = MainStream(MainStreamConfig(heads="global", neck="bn")).double().eval()
    ours.trunk.load_state_dict(trunk_of(network))
    ours.global_head.load_state_dict(network.layer4.state_dict())
    ours.necks["f_global"].load_state_dict(neck.state_dict())
    torch.testing.assert_close(ours.features(images).global_, f_t)
    torch.testing.assert_close(ours(images).global_, neck(f_t))


@torch.no_grad()
def test_a_plain_head_is_the_pooled_map_of_the_trunk() -> None:
    network = MainStream(MainStreamConfig(trunk="resnet18", width=0.125, heads="global", head="plain")).eval()
    images = torch.randn(2, 3, 64, 32)
    torch.testing.assert_close(network(images).global_, network.trunk(images).mean((2, 3)))
    assert network.parts == {"global": network.channels}


@pytest.mark.parametrize(("h", "count"), [(24, 6), (24, 3), (16, 6), (16, 3), (2, 6)])
def test_stripes_are_those_of_adaptive_pooling(h: int, count: int) -> None:
    maps = torch.randn(2, 5, h, 4)
    ours = torch.stack([stripe.amax((2, 3)) for stripe in stripes(maps, count)], dim=2)
    torch.testing.assert_close(ours, nn.functional.adaptive_max_pool2d(maps, (count, 1))[..., 0])


def thin(head: str, **more: object) -> MainStreamConfig:
    return MainStreamConfig(trunk="resnet18", width=0.125, heads="global", head=head, **more)


@pytest.mark.parametrize("head", HEADS)
@torch.no_grad()
def test_a_folded_network_has_the_same_features(head: str) -> None:
    torch.manual_seed(0)
    network = MainStream(thin(head)).double().eval()
    randomise_norms(network)
    images = torch.randn(3, 3, 96, 32).double()
    torch.testing.assert_close(folded(network)(images).global_, network(images).global_, rtol=1e-9, atol=1e-11)
    left = [name for name, one in folded(network).named_modules() if isinstance(one, nn.BatchNorm2d)]
    assert not left


@pytest.mark.parametrize("head", HEADS)
def test_a_model_file_has_its_head(head: str, tmp_path) -> None:
    torch.manual_seed(0)
    network = MainStream(thin(head)).eval()
    read = load(save(network, tmp_path / "model.pt", Preprocessing(96, 32)))
    assert read.main_stream.config.head == head
    images = torch.randint(0, 256, (2, 96, 32, 3), dtype=torch.uint8)
    expected = nn.functional.normalize(network(read.preprocessing.normalise(images)).global_)
    torch.testing.assert_close(read.features(images), expected.detach(), rtol=1e-4, atol=1e-5)


def test_a_model_file_of_the_papers_head_is_as_before_there_were_others(tmp_path) -> None:
    network = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
    content = torch.load(save(network, tmp_path / "model.pt", Preprocessing(64, 32)))
    assert "head" not in content["config"]


@pytest.mark.parametrize("head", ["pcb", "mgn"])
@pytest.mark.parametrize("suffix", [".pt2", pytest.param(".onnx", marks=pytest.mark.slow)])
def test_an_exported_network_has_the_same_features(head: str, suffix: str, tmp_path) -> None:
    if suffix == ".onnx":
        pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    torch.manual_seed(0)
    network = MainStream(thin(head)).eval()
    randomise_norms(network)
    model = load(save(network, tmp_path / "model.pt", Preprocessing(96, 32)))
    exported = load_exported(export(model, tmp_path / f"model{suffix}", resize="outside"))
    for count in (1, 3):
        images = torch.randint(0, 256, (count, 96, 32, 3), dtype=torch.uint8)
        torch.testing.assert_close(
            torch.from_numpy(exported.run(images.numpy())), model.features(images), rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"head": "strips"}, "'dsa' or 'plain' or 'pcb' or 'mgn'"),
        ({"head": "pcb"}, "Set heads = 'global'"),
        ({"head": "mgn", "heads": "global", "neck": "bn"}, "Set neck = 'none'"),
        ({"head": "mgn", "heads": "global", "pooling": "gem"}, "Set pooling = 'average'"),
        (
            {"head": "pcb", "heads": "global", "trunk": "timm/vit_tiny_patch16_224", "global_feature": "token"},
            "Set head = 'dsa'",
        ),
        ({"head": "mgn", "heads": "global", "trunk": "osnet_x1_0"}, "Set trunk = 'resnet50', or use resnet18, "),
    ],
)
def test_contradicting_settings_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MainStreamConfig(**wrong)
