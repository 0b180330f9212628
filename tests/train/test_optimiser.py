"""The optimiser: groups of weights, its steps against the papers' formulas, resumed runs, and the paper's bytes."""

import math

import pytest
import torch

from dsa_app.config import build, to_dict
from dsa_app.errors import ConfigError
from dsa_train import checkpoint
from dsa_train.config import TrainConfig
from dsa_train.loop import Run
from dsa_train.network.two_stream import TwoStream
from dsa_train.optimiser import update

RESNET = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8}
VIT = RESNET | {"main": {"trunk": "timm/vit_tiny_patch16_224", "size": [64, 32]}}
TRUNK = "main.trunk.body.model."


def run_of(optimiser: dict, network: dict = RESNET, **values) -> Run:
    """Return a run at the start of its first epoch after the warm-up, whose rate is 0.1."""
    schedule = {"lr": 0.1, "warmup": 0}
    values = {"height": 64, "width": 32, "network": network, "optimiser": optimiser, "schedule": schedule, **values}
    config = build(TrainConfig, values, "test")
    torch.manual_seed(0)
    run = Run(TwoStream(config.network, 3), config)
    run.start_epoch()
    return run


def groups_of(run: Run) -> dict[str, tuple[float, float]]:
    """Return the learning rate and weight decay of each weight, by its name."""
    names = {id(weight): name for name, weight in run.network.named_parameters()}
    return {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in run.optimiser.param_groups
        for weight in group["params"]
    }


def stepped(run: Run) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Return the weights before two steps with random gradients, these gradients, and the weights after the steps."""
    generator = torch.Generator().manual_seed(1)
    before = {name: weight.detach().clone() for name, weight in run.network.named_parameters()}
    gradients = {name: torch.randn(weight.shape, generator=generator) for name, weight in before.items()}
    for _ in range(2):
        for name, weight in run.network.named_parameters():
            weight.grad = gradients[name].clone()
        update(run.optimiser, run.network, run.config)
    return before, gradients, {name: weight.detach() for name, weight in run.network.named_parameters()}


def test_the_default_is_the_papers_adam() -> None:
    """One group of all weights in the network's order, or two with region heads; the state is that of plain Adam."""
    run = run_of({})
    assert type(run.optimiser) is torch.optim.Adam
    (group,) = run.optimiser.param_groups
    assert [id(one) for one in group["params"]] == [id(one) for one in run.network.parameters()]
    assert group["weight_decay"] == 5e-4
    plain = torch.optim.Adam(run.network.parameters(), lr=0.1, weight_decay=5e-4, fused=True)
    assert run.optimiser.state_dict() == plain.state_dict()
    regions = run_of({}, RESNET | {"main": RESNET["main"] | {"local_pooling": "regions"}})
    rest, heads = regions.optimiser.param_groups
    assert {id(one) for one in heads["params"]} == {
        id(one) for one in regions.network.main.local_pooling.heads.parameters()
    }
    assert (rest["lr"], heads["lr"]) == (0.1, 1e-3)


def test_checkpoints_of_before_there_was_a_choice_are_resumed(train, tmp_path) -> None:
    train(tmp_path / "run", epochs=1)
    assert "optimiser" not in checkpoint.load(tmp_path / "run" / "checkpoint.pt")["configuration"]["train"]
    train(tmp_path / "other", epochs=1, optimiser={"clip": 1.0})
    stored = checkpoint.load(tmp_path / "other" / "checkpoint.pt")["configuration"]["train"]["optimiser"]
    assert stored == to_dict(TrainConfig().optimiser) | {"clip": 1.0}


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(nesterov: bool) -> None:
    """Two steps by hand: v = m·v + g + decay·w; w -= lr·v, or lr·(g + decay·w + m·v) with Nesterov's momentum."""
    run = run_of({"kind": "sgd", "momentum": 0.8, "nesterov": nesterov}, weight_decay=0.01)
    before, gradients, after = stepped(run)
    for name, weight in before.items():
        velocity = torch.zeros_like(weight)
        for _ in range(2):
            gradient = gradients[name] + 0.01 * weight
            velocity = 0.8 * velocity + gradient
            weight = weight - 0.1 * (gradient + 0.8 * velocity if nesterov else velocity)
        torch.testing.assert_close(after[name], weight, rtol=1e-4, atol=1e-5, msg=name)


def test_adamw_decays_the_weights_themselves() -> None:
    """Against the paper's algorithm 2, by hand."""
    before, gradients, after = stepped(run_of({"kind": "adamw"}, weight_decay=0.5))
    for name, weight in before.items():
        first = second = torch.zeros_like(weight)
        for t in (1, 2):
            first, second = 0.9 * first + 0.1 * gradients[name], 0.999 * second + 0.001 * gradients[name] ** 2
            direction = (first / (1 - 0.9**t)) / ((second / (1 - 0.999**t)).sqrt() + 1e-8)
            weight = weight - 0.1 * 0.5 * weight - 0.1 * direction
        torch.testing.assert_close(after[name], weight, rtol=1e-4, atol=1e-5, msg=name)


def test_norms_and_biases_are_spared() -> None:
    found = groups_of(run_of({"spare": True}))
    assert found["main.trunk.conv1.weight"] == (0.1, 5e-4)
    assert found["main.trunk.bn1.weight"] == found["main.trunk.bn1.bias"] == (0.1, 0)
    spared = {name for name, (_, decay) in found.items() if decay == 0}
    assert spared == {name for name, weight in run_of({}).network.named_parameters() if weight.ndim <= 1}


def test_the_trunk_has_a_rate_of_its_own() -> None:
    found = groups_of(run_of({"trunk": 0.25}))
    for name, (rate, _) in found.items():
        assert rate == pytest.approx(0.025 if name.startswith("main.trunk.") else 0.1), name


def test_layer_wise_decay_of_a_transformer() -> None:
    """The last block's rate is decay × the trunk's, the first block's decay^12, the embeddings' decay^13."""
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    found = groups_of(run_of({"layer_decay": 0.8, "trunk": 0.5, "spare": True}, VIT))
    expected = {f"blocks.{n}.attn.qkv.weight": 12 - n for n in range(12)}
    expected |= {"cls_token": 13, "pos_embed": 13, "patch_embed.proj.weight": 13}
    for name, depth in expected.items():
        assert found[TRUNK + name][0] == pytest.approx(0.1 * 0.5 * 0.8**depth), name
    assert found["main.global_head.0.conv1.weight"] == (0.1, 5e-4)
    assert found[TRUNK + "pos_embed"][1] == found[TRUNK + "cls_token"][1] == 0
    assert found[TRUNK + "blocks.0.attn.qkv.weight"][1] == 5e-4


@pytest.mark.parametrize("name", ["convnext_atto", "swin_tiny_patch4_window7_224", "mobilenetv2_100", "regnety_002"])
def test_layer_wise_decay_rises_through_other_trunks(name: str) -> None:
    """Rates never fall from layer to layer, the first is less than the last, and a projection has the heads' rate."""
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    run = run_of({"layer_decay": 0.9}, RESNET | {"main": {"trunk": f"timm/{name}", "size": [64, 32]}})
    found = groups_of(run)
    rates = [found[f"main.trunk.body.{own}"][0] for own, _ in run.network.main.trunk.body.named_parameters()]
    assert rates[0] < rates[-1] < 0.1
    if name == "regnety_002":
        assert found["main.trunk.project.weight"][0] == 0.1
    for rate in rates:
        assert math.log(rate / 0.1, 0.9) == pytest.approx(round(math.log(rate / 0.1, 0.9)), abs=1e-6)


def test_layer_wise_decay_needs_a_timm_trunk() -> None:
    with pytest.raises(ConfigError, match=r"layer_decay=0\.5 is for timm trunks, this is resnet18"):
        run_of({"layer_decay": 0.5})


def test_nesterov_needs_sgd() -> None:
    with pytest.raises(ConfigError, match="nesterov = true needs kind = sgd"):
        build(TrainConfig, {"optimiser": {"nesterov": True}}, "test")


@pytest.mark.parametrize("clip", [1.0, 1e9])
def test_gradients_are_clipped_together(clip: float) -> None:
    """The step of plain gradient descent has the clipped gradient's length, and its direction."""
    run = run_of({"kind": "sgd", "momentum": 0.0, "clip": clip}, weight_decay=0)
    before, gradients, after = stepped(run)
    moved = torch.cat([(before[name] - after[name]).flatten() / 0.2 for name in before])
    given = torch.cat([gradients[name].flatten() for name in before])
    expected = given * min(1.0, clip / float(given.norm()))
    # A clipped step is of the order of the weights' last bits.
    assert float((moved - expected).norm() / expected.norm()) < (2e-2 if clip == 1.0 else 1e-3)


@pytest.mark.parametrize(
    ("optimiser", "network"),
    [
        ({"kind": "sgd", "nesterov": True, "spare": True, "trunk": 0.1, "clip": 5.0}, RESNET),
        ({"kind": "adamw", "layer_decay": 0.7, "spare": True}, VIT | {"drop_path": 0.2}),
    ],
)
def test_a_resumed_run_equals_a_whole_one(train, tmp_path, optimiser: dict, network: dict) -> None:
    """To the bit, with groups of several rates."""
    if "drop_path" in network:
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    settings = {"optimiser": optimiser, "network": network, "schedule": {"warmup": 1, "lr": 1e-3}}
    whole = train(tmp_path / "whole", epochs=2, **settings)
    train(tmp_path / "parts", epochs=1, **settings)
    assert train(tmp_path / "parts", epochs=2, **settings).read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("head", "pretrained"), [("dsa", "main.global_head."), ("mgn", "main.part_head.branches."), ("pcb", "main.global_")]
)
def test_a_conv5_of_the_trunks_weights_has_the_trunks_rate(head: str, pretrained: str) -> None:
    main = RESNET["main"] | {"heads": "global", "head": head}
    network = RESNET | {"main": main, "guide": False, "conv5_init": "imagenet", "weights": "imagenet"}
    for name, (rate, _) in groups_of(run_of({"trunk": 0.1}, network)).items():
        assert rate == pytest.approx(0.01 if name.startswith(("main.trunk.", pretrained)) else 0.1)
    network["conv5_init"] = "random"
    for name, (rate, _) in groups_of(run_of({"trunk": 0.1}, network)).items():
        assert rate == pytest.approx(0.01 if name.startswith("main.trunk.") else 0.1)
