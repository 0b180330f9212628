"""Drop path of timm trunks: off in evaluation and in the model file, the same initial weights, random in training."""

import pytest
import torch

pytest.importorskip("timm", reason="the extra `timm` is not installed")

from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_reid import ModelError
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream


def network(rate: float, trunk: str = "timm/vit_tiny_patch16_224") -> TwoStream:
    main = {"trunk": trunk, "size": [64, 32]}
    values = {"main": main, "weights": "none", "guide": False, "drop_path": rate, "classifier_width": 8}
    torch.manual_seed(0)
    return TwoStream(build(NetworkConfig, values, "test"), 3)


def test_it_is_off_in_evaluation() -> None:
    plain, dropping = network(0.0).eval(), network(0.3).eval()
    assert all(torch.equal(value, dropping.state_dict()[name]) for name, value in plain.state_dict().items())
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert torch.equal(plain.main.trunk(images), dropping.main.trunk(images))


def test_branches_are_left_out_in_training() -> None:
    """Two passes differ, and the rate rises from block to block up to the setting."""
    dropping = network(0.3).train()
    images = torch.randn(2, 3, 64, 32)
    with torch.no_grad():
        assert not torch.equal(dropping.main.trunk(images), dropping.main.trunk(images))
    rates = [one.drop_prob for one in dropping.main.trunk.modules() if getattr(one, "drop_prob", 0)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.3)


def test_trunks_without_such_branches_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"drop_path = 0\.1 is for timm trunks, the trunk is resnet18"):
        build(NetworkConfig, {"main": {"trunk": "resnet18"}, "drop_path": 0.1}, "test")
    with pytest.raises(ModelError, match="timm's vgg11 has no residual branches to leave out"):
        network(0.1, "timm/vgg11")
