"""The main stream: the paper's sizes, torchvision's numbers, and the local heads against eight separate ones."""

import pytest
import torch
import torchvision
from torch import nn

from dsa_reid import Features, MainStream, MainStreamConfig, ModelError
from dsa_reid.residual import BasicBlock, Bottleneck, InstanceBatchNorm, stage


def parameters(module: nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


def randomise_norms(network: nn.Module) -> None:
    """Give batch norm statistics that tell one channel from another."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.running_var):
                nn.init.uniform_(values, 0.5, 1.5)
            for values in (module.bias, module.running_mean):
                nn.init.normal_(values, std=0.1)


@pytest.fixture(scope="module")
def paper_on_meta() -> MainStream:
    with torch.device("meta"):
        return MainStream()


def test_sizes_of_the_paper(paper_on_meta: MainStream) -> None:
    assert parameters(paper_on_meta.trunk) == 8_543_296
    assert parameters(paper_on_meta.global_head) == 14_964_736
    images = torch.empty(2, 3, 256, 128, device="meta")
    assert paper_on_meta.trunk(images).shape == (2, 1024, 16, 8)
    f_global, f_local = paper_on_meta(images)
    assert f_global.shape == (2, 2048)
    assert f_local.shape == (2, 8, 256)


def test_every_layer_of_a_local_head_has_an_eighth_of_the_channels(paper_on_meta: MainStream) -> None:
    for whole, part in zip(paper_on_meta.global_head.modules(), paper_on_meta.local_head.modules(), strict=True):
        if isinstance(whole, nn.Conv2d):
            assert part.groups == 8
            assert part.weight.shape == (whole.out_channels, whole.in_channels // 8, *whole.kernel_size)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_trunk_and_global_head_compute_what_torchvision_computes(name: str) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, weights=None).eval()
    randomise_norms(theirs)
    ours = MainStream(MainStreamConfig(trunk=name, heads="global")).eval()
    ours.trunk.load_state_dict(
        {key: value for key, value in theirs.state_dict().items() if not key.startswith(("layer4", "fc"))}
    )
    ours.global_head.load_state_dict(theirs.layer4.state_dict())
    first = theirs.layer4[0]  # remove its down-sampling, as the paper does
    (first.conv2 if name == "resnet50" else first.conv1).stride = (1, 1)
    first.downsample[0].stride = (1, 1)

    images = torch.randn(2, 3, 64, 32)
    with torch.inference_mode():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
        expected = theirs.avgpool(theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))).flatten(1)
        torch.testing.assert_close(ours(images).global_, expected)


@pytest.mark.parametrize(("trunk", "block"), [("resnet18", BasicBlock), ("resnet50", Bottleneck)])
@pytest.mark.parametrize("local_input", ["slice", "full"])
def test_local_heads_are_eight_separate_heads(trunk: str, block: type, local_input: str) -> None:
    torch.manual_seed(1)
    main = MainStream(MainStreamConfig(trunk=trunk, width=0.125, local_input=local_input)).double().eval()
    randomise_norms(main)
    f = torch.randn(2, main.channels, 4, 2, dtype=torch.float64)
    together = main.local_head(f).mean((2, 3)).unflatten(1, (8, -1))

    width = main.feature_width // block.expansion // 8
    inputs = main.channels // 8 if local_input == "slice" else main.channels
    depth = len(main.local_head)
    for i in range(8):
        head = stage(block, inputs, width, depth).double().eval()
        own = {key: value.chunk(8)[i] if value.ndim else value for key, value in main.local_head.state_dict().items()}
        head.load_state_dict(own)
        seen = f[:, i * inputs : (i + 1) * inputs] if local_input == "slice" else f
        torch.testing.assert_close(together[:, i], head(seen).mean((2, 3)))


@pytest.mark.parametrize(("heads", "expected"), [("global", (True, False)), ("local", (False, True))])
def test_a_head_that_is_left_out_costs_nothing(heads: str, expected: tuple[bool, bool]) -> None:
    main = MainStream(MainStreamConfig(trunk="resnet18", width=0.125, heads=heads))
    assert (main.global_head is not None, main.local_head is not None) == expected
    features = main(torch.randn(2, 3, 32, 16))
    assert isinstance(features, Features)
    assert (features.global_ is not None, features.local is not None) == expected


@pytest.mark.parametrize("width", [0.125, 0.25, 0.375, 1.0])
def test_width_scales_every_channel(width: float) -> None:
    with torch.device("meta"):
        main = MainStream(MainStreamConfig(trunk="resnet18", width=width))
        whole = MainStream(MainStreamConfig(trunk="resnet18"))
    for narrow, full in zip(main.modules(), whole.modules(), strict=True):
        if isinstance(narrow, nn.Conv2d):
            assert narrow.out_channels == full.out_channels * width


def test_same_seed_same_weights() -> None:
    def drawn() -> torch.Tensor:
        torch.manual_seed(7)
        main = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
        return torch.cat([p.flatten() for p in main.parameters()])

    assert torch.equal(drawn(), drawn())


def test_images_of_a_batch_are_independent_at_inference() -> None:
    torch.manual_seed(2)
    main = MainStream(MainStreamConfig(trunk="resnet18", width=0.125)).double().eval()
    images = torch.randn(5, 3, 64, 32, dtype=torch.float64)
    order = torch.tensor([3, 0, 4, 1, 2])
    for straight, shuffled in zip(main(images), main(images[order]), strict=True):
        torch.testing.assert_close(straight[order], shuffled)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"width": 0.1}, "multiple of 0.125"),
        ({"width": 0.0}, "multiple of 0.125"),
        ({"width": -1.0}, "multiple of 0.125"),
        ({"trunk": "resnet34"}, "'resnet18' or 'resnet50'"),
        ({"local_input": "none"}, "'slice' or 'full'"),
        ({"heads": "none"}, "'both' or 'global' or 'local'"),
    ],
)
def test_invalid_settings_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        MainStreamConfig(**wrong)


@pytest.mark.parametrize(("trunk", "depth"), [("resnet50_ibn", 6), ("resnet101_ibn", 23)])
def test_ibn_is_half_instance_half_batch_norm_up_to_conv4(trunk: str, depth: int) -> None:
    """The names are those of the authors' weights; conv5_x has none, as theirs."""
    with torch.device("meta"):
        network = MainStream(MainStreamConfig(trunk=trunk))
    names = network.state_dict().keys()
    mixed = {name.rsplit(".bn1.", 1)[0] for name in names if ".bn1.IN." in name}
    assert len(mixed) == 3 + 4 + depth
    assert f"trunk.layer3.{depth - 1}.conv3.weight" in names
    assert f"trunk.layer3.{depth}.conv1.weight" not in names
    assert {"trunk.layer1.0.bn1.IN.weight", "trunk.layer3.5.bn1.BN.running_mean"} <= names
    assert network.trunk.layer2[0].bn1.IN.num_features == 64
    assert network.trunk(torch.empty(1, 3, 256, 128, device="meta")).shape == (1, 1024, 16, 8)

    torch.manual_seed(0)
    norm = InstanceBatchNorm(6)
    x = torch.randn(4, 6, 5, 3) * 3 + 1
    y = norm(x)
    instance = (x[:, :3] - x[:, :3].mean((2, 3), keepdim=True)) / x[:, :3].std((2, 3), keepdim=True, correction=0)
    batch = (x[:, 3:] - x[:, 3:].mean((0, 2, 3), keepdim=True)) / x[:, 3:].std((0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(y, torch.cat([instance, batch], 1), atol=1e-4, rtol=1e-4)
    assert norm.half() is norm, "a module's own methods stay"
