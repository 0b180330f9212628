"""The two streams joined: what each configuration computes and classifies."""

import pytest
import torch

from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_train.losses.config import LossConfig
from dsa_train.losses.terms import loss_terms
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream

TINY = {"trunk": "resnet18", "width": 0.125}


def tiny(**settings: object) -> TwoStream:
    torch.manual_seed(0)
    main = TINY | dict(settings.pop("main", {}))  # type: ignore[call-overload]
    return TwoStream(build(NetworkConfig, {"main": main, "classifier_width": 16, **settings}, "test"), 5)


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(4, 3, 32, 16), torch.randn(4, 24, 3, 8, 8)


LOCAL = [f"f_local_{i}" for i in range(8)]


@pytest.mark.parametrize(
    ("settings", "features", "classified"),
    [
        ({}, ["f_global", "f_local", "d_global", "d_local", "z_global", "z_local"],
         ["f_global", *LOCAL, "z_global", "z_local"]),
        ({"fusion": "concat"}, ["f_global", "f_local", "d_global", "d_local", "z_global", "z_local"],
         ["f_global", *LOCAL, "z_global", "z_local"]),
        ({"main": {"heads": "global"}}, ["f_global", "d_global", "z_global"], ["f_global", "z_global"]),
        ({"main": {"heads": "local"}}, ["f_local", "d_local", "z_local"], [*LOCAL, "z_local"]),
        ({"guide": False}, ["f_global", "f_local"], ["f_global", *LOCAL]),
        ({"guide": False, "main": {"heads": "global"}}, ["f_global"], ["f_global"]),
    ],
    ids=["both", "concat", "global", "local", "two branches", "baseline"],
)  # fmt: skip
def test_what_each_configuration_computes(settings: dict, features: list, classified: list) -> None:
    network = tiny(**settings)
    images, parts = batch()
    outputs = network(images, parts if network.guide is not None else None)
    values = {name: value for name, value in outputs._asdict().items() if name != "logits"}
    assert [name for name, value in values.items() if value is not None] == features
    for name in features:
        assert values[name].shape == ((4, 64) if name.endswith("global") else (4, 8, 8))
    assert list(outputs.logits) == classified
    assert all(logits.shape == (4, 5) for logits in outputs.logits.values())


def test_z_is_the_sum_after_pooling() -> None:
    network = tiny()
    images, parts = batch()
    outputs = network.eval()(images, parts)
    assert torch.equal(outputs.z_global, outputs.f_global + outputs.d_global)
    assert torch.equal(outputs.z_local, outputs.f_local + outputs.d_local)
    f_global, f_local = network.main(images)
    assert torch.equal(outputs.f_global, f_global)
    assert torch.equal(outputs.f_local, f_local)


def test_each_classifier_reads_its_own_feature() -> None:
    network = tiny().eval()
    outputs = network(*batch())
    layers = network.classifiers
    assert torch.equal(outputs.logits["f_global"], layers["f_global"](outputs.f_global))
    assert torch.equal(outputs.logits["f_local_3"], layers["f_local_3"](outputs.f_local[:, 3]))
    assert torch.equal(outputs.logits["z_global"], layers["z_global"](outputs.z_global))
    assert torch.equal(outputs.logits["z_local"], layers["z_local"](outputs.z_local.flatten(1)))
    assert len({id(p) for p in layers.parameters()}) == 11 * 5  # nothing shared


def test_features_and_losses_are_float32_under_autocast() -> None:
    network = tiny()
    images, parts = batch()
    labels = torch.tensor([0, 0, 1, 1])
    exact = loss_terms(network(images, parts), labels, LossConfig())
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(images, parts)
    assert {value.dtype for value in outputs[:6]} == {torch.float32}
    assert outputs.logits["z_local"].dtype == torch.bfloat16
    for name, value in loss_terms(outputs, labels, LossConfig()).items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, exact[name], atol=0.1, rtol=0.1)


def test_loop_and_grouped_are_one_network() -> None:
    """The same output shapes and parameter count; equality of the numbers is tested with the branches."""
    grouped, loop = tiny(), tiny(branches="loop")
    assert sum(p.numel() for p in grouped.parameters()) == sum(p.numel() for p in loop.parameters())
    images, parts = batch()
    assert grouped(images, parts).z_local.shape == loop(images, parts).z_local.shape


def test_the_papers_network() -> None:
    with torch.device("meta"):
        network = TwoStream(NetworkConfig(), identities=751)
        outputs = network(torch.empty(2, 3, 256, 128), torch.empty(2, 24, 3, 32, 32))
    assert outputs.z_global.shape == (2, 2048)
    assert outputs.z_local.shape == (2, 8, 256)
    assert len(outputs.logits) == 11
    assert network.classifiers["z_local"][0].weight.shape == (512, 2048)
    assert network.classifiers["f_local_0"][0].weight.shape == (512, 256)
    assert network.classifiers["z_local"][3].weight.shape == (751, 512)


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown setting 'guid'"):
        build(NetworkConfig, {"guid": True}, "test")
    with pytest.raises(ConfigError, match="'trunck'"):
        build(NetworkConfig, {"main": {"trunck": "resnet18"}}, "test")


@pytest.mark.slow
def test_the_papers_full_size_runs_forward_and_backward() -> None:
    torch.manual_seed(0)
    network = TwoStream(NetworkConfig(weights="none"), identities=751)
    outputs = network(torch.randn(4, 3, 256, 128), torch.randn(4, 24, 3, 32, 32))
    losses = loss_terms(outputs, torch.tensor([0, 0, 1, 1]), LossConfig())
    assert len(losses) == 13
    sum(losses.values()).backward()
    for name, p in network.named_parameters():
        assert p.grad is not None, name
        assert p.grad.isfinite().all(), name


def test_the_guide_follows_a_timm_trunk() -> None:
    """ConvNeXt-Atto: c_A = 160 and a last stage of 320; the guide's widths are c/4, c/2, c of c = 20."""
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    torch.manual_seed(0)
    main = {"trunk": "timm/convnext_atto", "size": [32, 16]}
    network = TwoStream(build(NetworkConfig, {"main": main, "classifier_width": 16}, "test"), 5)
    assert network.guide.branches.charts.conv1.out_channels == 24 * 5
    assert network.guide.branches.pairs[0].conv1.out_channels == 13 * 20
    outputs = network(*batch())
    assert outputs.z_global.shape == (4, 320)
    assert outputs.z_local.shape == (4, 8, 40)
    sum(loss_terms(outputs, torch.tensor([0, 0, 1, 1]), LossConfig()).values()).backward()
    assert all(p.grad is not None for p in network.parameters()), "as DistributedDataParallel needs"


def test_necks_stand_between_features_and_classifiers() -> None:
    network = tiny(main={"neck": "bn"}).eval()
    for norm in (*network.main.necks.values(), *network.necks.values()):
        torch.nn.init.uniform_(norm.running_mean)
    outputs = network(*batch())
    f, layers = network.main.features(batch()[0]), network.classifiers
    assert torch.equal(outputs.f_global, f.global_)
    assert torch.equal(outputs.z_global, outputs.f_global + outputs.d_global)
    assert torch.equal(outputs.logits["f_global"], layers["f_global"](network.main(batch()[0]).global_))
    assert torch.equal(
        outputs.logits["z_local"], layers["z_local"](network.necks["z_local"](outputs.z_local.flatten(1)))
    )
    assert not torch.equal(network.main(batch()[0]).global_, f.global_)
