"""timm's models as trunks: maps at stride 16, heads and model file as for ours, weights never silently random."""

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("timm", reason="the extra `timm` is not installed")

from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing, load, save, timm_trunk
from dsa_reid.timm_trunk import TimmTrunk, colours

SIZE = (64, 32)
SLOW = pytest.mark.slow


def stream(name: str, **settings: object) -> MainStream:
    torch.manual_seed(0)
    return MainStream(MainStreamConfig(trunk=f"timm/{name}", size=SIZE, **settings)).eval()


@pytest.mark.parametrize(
    ("name", "channels", "width"),
    [
        ("convnext_atto", 160, 320),
        ("vit_tiny_patch16_224", 192, 192),
        pytest.param("swin_tiny_patch4_window7_224", 384, 768, marks=SLOW),
        pytest.param("resnet101", 1024, 2048, marks=SLOW),
    ],
)
def test_map_heads_and_model_file(name: str, channels: int, width: int, tmp_path: Path) -> None:
    network = stream(name)
    images = torch.randn(2, 3, *SIZE)
    assert network.trunk(images).shape == (2, channels, 4, 2)
    f_global, f_local = network(images)
    assert (f_global.shape, f_local.shape) == ((2, width), (2, 8, width // 8))
    for feature in (f_global, f_local):
        assert feature.std(0).max() > 0, "features differ between images"
    restored = load(save(network, tmp_path / "model.pt", Preprocessing(*SIZE))).main_stream
    assert all(torch.equal(a, b) for a, b in zip(restored(images), (f_global, f_local), strict=True))


def test_the_map_is_aligned_with_the_image() -> None:
    """A change in the upper left corner moves that corner of ConvNeXt's map the most: no axes are mixed up."""
    network = stream("convnext_atto", heads="global")
    images = torch.zeros(1, 3, *SIZE)
    changed = images.clone()
    changed[:, :, :8, 24:] = 3
    moved = (network.trunk(changed) - network.trunk(images)).norm(dim=1)[0]
    assert moved.argmax().item() == 1, "row 0, column 1 of 4×2"


def test_a_transformer_keeps_all_its_blocks() -> None:
    trunk = TimmTrunk("vit_tiny_patch16_224", SIZE)
    blocks = {name.split(".")[3] for name in trunk.state_dict() if ".blocks." in name}
    assert len(blocks) == 12


def test_a_trunk_that_does_not_fit_is_named() -> None:
    with pytest.raises(ModelError, match=r"at strides \[32, 32, 32\], none at 16 or 14"):
        TimmTrunk("vit_small_patch32_224", SIZE)
    with pytest.raises(ModelError, match=r"64x32 are not divisible by it\. Set size = \[70, 28\]"):
        TimmTrunk("vit_small_patch14_dinov2", SIZE)
    with pytest.raises(ModelError, match="has no model 'resnet51'"):
        stream("resnet51")
    with pytest.raises(ModelError, match=r"width = 0\.5 is invalid.*has width 1 alone\. Set width = 1"):
        stream("convnext_atto", width=0.5)
    with pytest.raises(ModelError, match="'timm/NAME'"):
        MainStreamConfig(trunk="resnet51")


def test_weights_are_never_silently_random(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = TimmTrunk("convnext_atto", SIZE)
    create = timm_trunk.create

    def offline(*arguments: object, pretrained: bool, **options: object) -> object:
        if pretrained:
            raise OSError("no route to the hub")
        return create(*arguments, pretrained=False, **options)

    monkeypatch.setattr(timm_trunk, "create", offline)
    with pytest.raises(ModelError, match=r"could not be downloaded \(no route to the hub\).*weights = 'none'"):
        trunk.load_pretrained()
    with pytest.raises(ModelError, match="publishes no weights of 'coatnet_0_224'"):
        colours("coatnet_0_224")
    assert colours("vit_tiny_patch16_224") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_without_timm_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(stream("convnext_atto"), tmp_path / "model.pt", Preprocessing(*SIZE))
    monkeypatch.setitem(sys.modules, "timm", None)
    for needing in (lambda: stream("convnext_atto"), lambda: load(path)):
        with pytest.raises(ModelError, match=r"^A timm trunk needs timm.*pip install .*\[timm\]'$"):
            needing()
