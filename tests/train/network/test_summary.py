"""The table of the network: sizes of the paper, sums, and arithmetic against torch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dsa_app.config import build
from dsa_train.network.config import NetworkConfig
from dsa_train.network.summary import deployed_size, rows, summary
from dsa_train.network.two_stream import TwoStream

CONFIGS = [
    {},
    {"fusion": "concat", "main": {"trunk": "resnet18", "width": 0.5}},
    {"main": {"local_input": "full"}},
    {"main": {"heads": "local"}},
    {"guide": False, "main": {"heads": "global"}},
    {"main": {"neck": "bn"}, "classifier": "circle"},
    {"main": {"heads": "global", "head": "plain"}},
    {"main": {"heads": "global", "head": "pcb"}},
    {"guide": False, "main": {"heads": "global", "head": "mgn"}},
]


@pytest.mark.parametrize("trunk", ["timm/convnext_atto", "timm/regnety_002", "resnet50_ibn", "osnet_ibn_x1_0"])
def test_other_trunks_are_counted_to_the_last_parameter(trunk: str) -> None:
    if trunk.startswith("timm/"):
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    config = build(NetworkConfig, {"main": {"trunk": trunk}, "weights": "none"}, "test")
    network = TwoStream(config, 5)
    counted = sum(row.parameters for row in rows(config, identities=5))
    assert counted == sum(p.numel() for p in network.parameters())


def test_the_papers_network() -> None:
    by_layer = {(row.part, row.layer): row for row in rows(NetworkConfig(), identities=751)}
    guide = {layer: row for (part, layer), row in by_layer.items() if part == "guide"}
    assert sum(guide[layer].parameters for layer in ("conv1", "conv2", "conv3_x")) == 4_157_184
    assert guide["conv4_x"].parameters == 6_832_384
    assert guide["conv5_g"].parameters == 134_238_208
    assert guide["conv5_l"].parameters == 16_797_696
    trunk = sum(by_layer["main", layer].parameters for layer in ("conv1", "conv2_x", "conv3_x", "conv4_x"))
    assert trunk == 8_543_296
    assert guide["conv1"].output == "24 × 32 × 32×32"
    assert guide["conv4_x"].output == "13 × 128 × 8×8"
    assert by_layer["main", "conv4_x"].output == "1024 × 16×8"
    assert guide["conv1"].flops == 2 * 24 * 32 * (5 * 5 * 3) * 32 * 32


@pytest.mark.parametrize("values", CONFIGS)
def test_every_parameter_and_every_product_is_counted_once(values: dict) -> None:
    config = build(NetworkConfig, values, "test")
    lines = rows(config, identities=40, height=128, width=64, size=16)
    with torch.device("meta"):
        network = TwoStream(config, identities=40).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.empty(1, 3, 128, 64), torch.empty(1, 24, 3, 16, 16))
    assert sum(row.parameters for row in lines) == sum(p.numel() for p in network.parameters())
    assert sum(row.flops for row in lines) == counter.get_total_flops()


def test_what_is_deployed_is_stated_with_the_products_of_attention() -> None:
    """A ViT of 32 tokens and one of the class: two products of 33² in each of 12 layers, 192 numbers a token."""
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    main = {"trunk": "timm/vit_tiny_patch16_224", "size": [128, 64], "heads": "global"}
    config = build(NetworkConfig, {"guide": False, "main": main, "weights": "none"}, "test")
    lines = {row.layer: row for row in rows(config, 40, 128, 64) if row.part == "main"}
    assert lines["products of attention"].flops == 12 * 2 * 2 * 33 * 33 * 192
    size = deployed_size(config.main, 128, 64)
    assert size == (sum(row.parameters for row in lines.values()), sum(row.flops for row in lines.values()))
    stated = f"deployed: {size.parameters:,} parameters, {size.flops / 1e9:.3f} GFLOP."
    assert stated in summary(config, height=128, width=64)


def test_the_loop_has_the_same_table() -> None:
    assert summary(NetworkConfig(branches="loop")) == summary(NetworkConfig())


def test_the_text_has_sums_by_part_and_no_empty_lines_of_absent_layers() -> None:
    text = summary(NetworkConfig())
    assert "162,025,472" in text
    assert "195,867,269" in text
    assert "fusion" not in text
    assert "guide" not in summary(build(NetworkConfig, {"guide": False}, "test"))
    assert "4096 → 2048" in summary(NetworkConfig(fusion="concat"))
