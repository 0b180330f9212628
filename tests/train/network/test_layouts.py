"""Weights in the layouts of other projects: the trunk's map equals the source model's own; the rest is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import torchvision
from torch import nn

pytest.importorskip("timm", reason="the extra `timm` is not installed")

import layouts
from dsa_app.errors import CheckpointError
from dsa_reid import MainStream, MainStreamConfig, Preprocessing, load, save
from dsa_reid.main_stream import Trunk
from dsa_reid.residual import Bottleneck
from dsa_train.network.weights import load_weights
from dsa_train.network.weights_layouts import grid_of, prefixes

SIZE = (64, 32)


def images(size: tuple[int, int] = SIZE) -> torch.Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


def stream(trunk: str, size: tuple[int, int] = SIZE) -> MainStream:
    torch.manual_seed(0)
    return MainStream(MainStreamConfig(trunk=trunk, size=size, heads="global")).eval()


class Origin(NamedTuple):
    """A source model with its weights, and its own map at stride 16."""

    state: dict[str, torch.Tensor]
    map: torch.Tensor


def resnet50() -> Origin:
    """torchvision's, up to conv4_x."""
    model = layouts.randomised(torchvision.models.resnet50(weights=None))
    x = images()
    for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3"):
        x = getattr(model, name)(x)
    return Origin(model.state_dict(), x.detach())


def resnet50_ibn() -> Origin:
    torch.manual_seed(4)
    model = layouts.randomised(Trunk(Bottleneck, (3, 4, 6), 64, ibn=True))
    return Origin(model.state_dict(), model(images()).detach())


def of_timm(name: str, size: tuple[int, int] = SIZE, **options: Any) -> Origin:
    """timm's whole model, whose last map of stride 16 is that of its own `forward_intermediates`."""
    import timm

    torch.manual_seed(4)
    try:
        model = timm.create_model(name, img_size=size, **options)
    except TypeError:
        model = timm.create_model(name, **options)
    model = layouts.randomised(model)
    with torch.no_grad():
        maps = model.forward_intermediates(images(size), intermediates_only=True)
    stride = min((size[0] // one.shape[2] for one in maps), key=lambda stride: abs(stride - 16))
    return Origin(model.state_dict(), [one for one in maps if size[0] // one.shape[2] == stride][-1])


def osnet(channels: tuple[int, int, int, int], instance: bool = False) -> Origin:
    torch.manual_seed(4)
    model = layouts.randomised(layouts.TorchreidOsNet(channels, instance))
    with torch.no_grad():
        return Origin(model.state_dict(), model.maps(images()))


def mobilenet() -> Origin:
    """torchvision's MobileNetV2, up to its last map at stride 16."""
    torch.manual_seed(4)
    model = layouts.randomised(torchvision.models.mobilenet_v2(weights=None))
    with torch.no_grad():
        return Origin(model.state_dict(), model.features[:14](images()))


def plain(state: dict[str, torch.Tensor]) -> Any:
    return state


def wrapped(key: str, prefix: str) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda state: {key: layouts.prefixed(prefix, state)}


class Case(NamedTuple):
    """A layout: the trunk, the source model, and how a project writes its weights."""

    name: str
    trunk: str
    origin: Callable[[], Origin]
    write: Callable[[dict[str, torch.Tensor]], Any]
    ending: str = "pth"
    half: bool = False  # whether the project stores float16


def vit() -> Origin:
    return of_timm("vit_tiny_patch16_224")


def swin() -> Origin:
    return of_timm("swin_tiny_patch4_window7_224")


def clip() -> Origin:
    return of_timm("vit_base_patch16_clip_224")


CASES = [
    Case("torchvision", "resnet50", resnet50, plain),
    Case("state_dict, module.", "resnet50", resnet50, wrapped("state_dict", "module.")),
    Case("net, model.", "resnet50", resnet50, wrapped("net", "model.")),
    Case("BoT, base.", "resnet50", resnet50, lambda state: layouts.prefixed("base.", state)),
    Case("MoCo and LUPerson", "resnet50", resnet50, layouts.moco),
    Case("torchreid", "resnet50", resnet50, layouts.torchreid),
    Case("fast-reid", "resnet50_ibn", resnet50_ibn, layouts.fast_reid),
    Case("OSNet", "osnet_x1_0", lambda: osnet((64, 256, 384, 512)), layouts.torchreid),
    Case("OSNet x0.75", "osnet_x0_75", lambda: osnet((48, 192, 288, 384)), plain),
    Case("OSNet x0.5", "osnet_x0_5", lambda: osnet((32, 128, 192, 256)), plain),
    Case("OSNet x0.25", "osnet_x0_25", lambda: osnet((16, 64, 96, 128)), layouts.torchreid),
    Case("OSNet-IBN", "osnet_ibn_x1_0", lambda: osnet((64, 256, 384, 512), instance=True), layouts.torchreid),
    Case("timm's ResNet in safetensors", "timm/resnet50", lambda: of_timm("resnet50"), plain, "safetensors"),
    Case("timm in safetensors", "timm/vit_tiny_patch16_224", vit, plain, "safetensors"),
    Case("timm in .bin", "timm/vit_tiny_patch16_224", vit, plain, "bin"),
    Case("timm in a training's file", "timm/convnext_atto", lambda: of_timm("convnext_atto"), wrapped("model", "")),
    Case("MobileNetV2 of timm", "timm/mobilenetv2_100", lambda: of_timm("mobilenetv2_100"), plain),
    Case("MobileNetV2 of torchvision, by order", "timm/mobilenetv2_100", mobilenet, plain),
    Case("TransReID", "timm/vit_tiny_patch16_224", vit, layouts.transreid),
    Case("DINO, TransReID-SSL, PersonViT", "timm/vit_tiny_patch16_224", vit, layouts.dino),
    Case("CLIP", "timm/vit_base_patch16_clip_224", clip, layouts.clip, half=True),
    Case("CLIP-ReID", "timm/vit_base_patch16_clip_224", clip, layouts.clip_reid),
    Case("Microsoft's Swin", "timm/swin_tiny_patch4_window7_224", swin, layouts.original_swin),
    Case("SOLIDER's Swin", "timm/swin_tiny_patch4_window7_224", swin, layouts.solider),
]
SLOW = {"timm's ResNet in safetensors", "CLIP-ReID", "OSNet x0.75", "BoT, base.", "net, model.", "Microsoft's Swin"}


def write(path: Path, content: Any) -> Path:
    """Write a file; safetensors by the library itself."""
    if path.suffix != ".safetensors":
        torch.save(content, path)
        return path
    pytest.importorskip("safetensors.torch", reason="safetensors is not installed").save_file(content, path)
    return path


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=pytest.mark.slow if case.name in SLOW else ()) for case in CASES]
)
def test_the_trunks_map_is_the_source_models_own(case: Case, tmp_path: Path) -> None:
    origin = case.origin()
    state = {name: value.half() if case.half else value for name, value in origin.state.items()}
    path = write(tmp_path / f"weights.{case.ending}", case.write(state))
    main = stream(case.trunk)
    before = main.trunk(images())
    report = load_weights(main, str(path))
    assert report is not None
    assert report.missing == (), str(report)
    with torch.no_grad():
        found = main.trunk(images())
    scale = origin.map.abs().max()
    torch.testing.assert_close(found / scale, origin.map / scale, rtol=0, atol=2e-2 if case.half else 1e-5)
    assert (before / scale - found / scale).abs().max() > 0.1, "the random trunk has another map"


def test_solider_merges_patches_as_its_authors_do() -> None:
    """OpenMMLab's merging with the file's weights equals timm's merging with ours."""
    import timm

    source = layouts.randomised(timm.create_model("swin_tiny_patch4_window7_224", img_size=SIZE))
    file = layouts.solider(source.state_dict())["teacher"]
    x = torch.randn(1, 96, 16, 8, generator=torch.Generator().manual_seed(2))
    norm = {kind: file[f"backbone.stages.0.downsample.norm.{kind}"] for kind in ("weight", "bias")}
    theirs = layouts.openmmlab_merging(x, norm, file["backbone.stages.0.downsample.reduction.weight"])
    with torch.no_grad():
        ours = source.layers[1].downsample(x.permute(0, 2, 3, 1)).flatten(1, 2)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("count", "aspect", "grid"), [(128, 2.0, (16, 8)), (210, 2.0, (21, 10)), (8, 2.0, (4, 2)), (7, 2.0, (7, 1))]
)
def test_grid_of_a_position_embedding(count: int, aspect: float, grid: tuple[int, int]) -> None:
    assert grid_of(count, aspect) == grid


@pytest.mark.parametrize(
    ("size", "old", "write"),
    [((224, 224), (14, 14), plain), ((256, 128), (16, 8), layouts.transreid), ((256, 128), (16, 8), layouts.clip)],
)
def test_position_embeddings_are_interpolated(
    size: tuple[int, int], old: tuple[int, int], write: Callable[..., Any], tmp_path: Path
) -> None:
    """Their grid to the trunk's, the class token unchanged; the report says so."""
    name = "vit_base_patch16_clip_224" if write is layouts.clip else "vit_tiny_patch16_224"
    state = of_timm(name, size).state
    torch.save(write(state), tmp_path / "w.pth")
    main = stream(f"timm/{name}")
    report = load_weights(main, str(tmp_path / "w.pth"))
    assert report is not None
    assert (report.interpolated, report.missing) == (("pos_embed",), ())
    assert "interpolated: pos_embed" in str(report)
    found, given = main.trunk.body.model.pos_embed, state["pos_embed"]
    assert torch.equal(found[:, 0], given[:, 0])
    grid = given[:, 1:].unflatten(1, old).permute(0, 3, 1, 2)
    expected = nn.functional.interpolate(grid, (4, 2), mode="bicubic", antialias=True)
    torch.testing.assert_close(found[:, 1:], expected.flatten(2).transpose(1, 2), rtol=1e-4, atol=1e-4)


def test_the_first_convolution_is_interpolated(tmp_path: Path) -> None:
    state = of_timm("vit_small_patch16_224").state
    shrunk = nn.functional.interpolate(state["patch_embed.proj.weight"], (8, 8))
    torch.save(state | {"patch_embed.proj.weight": shrunk}, tmp_path / "w.pth")
    report = load_weights(stream("timm/vit_small_patch16_224"), str(tmp_path / "w.pth"))
    assert report is not None
    assert report.interpolated == ("patch_embed.proj.weight",)


def test_what_does_not_match_is_named_and_stays_random(tmp_path: Path) -> None:
    state = of_timm("vit_tiny_patch16_224").state
    lost = "blocks.3.mlp.fc1.weight"
    torch.save({"model": {name: value for name, value in state.items() if name != lost}}, tmp_path / "w.pth")
    main, random = stream("timm/vit_tiny_patch16_224"), stream("timm/vit_tiny_patch16_224")
    report = load_weights(main, str(tmp_path / "w.pth"))
    assert report is not None
    assert report.missing == (lost,)
    assert "head.weight" in report.unused
    assert str(report).startswith("Pretrained weights of w.pth: 147 of 148 match (own names); random: blocks.3.mlp")
    assert torch.equal(main.trunk.body.model.blocks[3].mlp.fc1.weight, random.trunk.body.model.blocks[3].mlp.fc1.weight)


@pytest.mark.parametrize(
    ("trunk", "message"),
    [
        (
            "timm/vit_tiny_patch16_224",
            r"w\.pth does not fit timm/vit_tiny_patch16_224: 0 of the trunk's 148 weights match",
        ),
        ("osnet_x0_25", r"The file has conv1\.weight.*The trunk has conv1\.conv\.weight"),
        ("resnet50_ibn", r"does not fit resnet50_ibn.*not in the file: layer1\.0\.bn1\.IN\.weight"),
    ],
)
def test_weights_of_another_network_are_refused(trunk: str, message: str, tmp_path: Path) -> None:
    torch.save(torchvision.models.resnet50(weights=None).state_dict(), tmp_path / "w.pth")
    main = stream(trunk)
    before = {name: value.clone() for name, value in main.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(main, str(tmp_path / "w.pth"))
    assert all(torch.equal(value, before[name]) for name, value in main.state_dict().items())


def test_an_encoder_comes_before_its_momentum_copy() -> None:
    names = ["encoder_k.a.b", "encoder_q.a.b", "encoder_q.a.c", "encoder_k.a.c"]
    assert prefixes(names, 2) == ["", "encoder_q.", "encoder_q.a.", "encoder_k.", "encoder_k.a."]


def test_a_model_of_ours_on_a_timm_trunk(tmp_path: Path) -> None:
    """Its trunk is taken, at another size too; a checkpoint of a training as well."""
    torch.manual_seed(7)
    theirs = MainStream(MainStreamConfig(trunk="timm/vit_tiny_patch16_224", size=(256, 128)))
    path = save(theirs, tmp_path / "model.pt", Preprocessing(256, 128))
    main = stream("timm/vit_tiny_patch16_224")
    report = load_weights(main, str(path))
    assert report is not None
    assert (report.missing, report.interpolated) == ((), ("pos_embed",))
    assert torch.equal(
        main.trunk.body.model.blocks[5].attn.qkv.weight, theirs.trunk.body.model.blocks[5].attn.qkv.weight
    )
    network = {f"main.{name}": value for name, value in theirs.state_dict().items()}
    network |= {"classifiers.f_global.0.weight": torch.zeros(2, 2)}
    training = {"format": "dsa-reid checkpoint", "version": 1, "network": network, "optimiser": {"state": {}}}
    torch.save(training, tmp_path / "checkpoint.pt")
    report = load_weights(stream("timm/vit_tiny_patch16_224"), str(tmp_path / "checkpoint.pt"))
    assert report is not None
    assert report.missing == ()


def test_stride_14(tmp_path: Path) -> None:
    """DINOv2's map at stride 14 is F."""
    size = (70, 28)
    origin = of_timm("vit_small_patch14_dinov2", size)
    torch.save(origin.state, tmp_path / "w.pth")
    main = stream("timm/vit_small_patch14_dinov2", size)
    report = load_weights(main, str(tmp_path / "w.pth"))
    assert report is not None
    assert report.missing == ()
    with torch.no_grad():
        found = main.trunk(images(size))
    assert found.shape == (2, 384, 5, 2)
    torch.testing.assert_close(found, origin.map, rtol=1e-4, atol=1e-4)


def test_a_width_that_32_does_not_divide_is_projected(tmp_path: Path) -> None:
    """RegNetY-400MF has 208 channels at stride 16: F has 224, and the map before the projection is timm's own."""
    origin = of_timm("regnety_004")
    torch.save(origin.state, tmp_path / "w.pth")
    main = stream("timm/regnety_004")
    load_weights(main, str(tmp_path / "w.pth"))
    assert (main.channels, main.feature_width) == (224, 448)
    with torch.no_grad():
        assert main.trunk(images()).shape == (2, 224, 4, 2)
        torch.testing.assert_close(main.trunk.maps(images())[-1], origin.map, rtol=1e-4, atol=1e-4)
    restored = load(save(main, tmp_path / "model.pt", Preprocessing(*SIZE))).main_stream
    assert torch.equal(restored.trunk.project.weight, main.trunk.project.weight)


def test_damaged_safetensors_are_refused(tmp_path: Path) -> None:
    """Truncated, with a header that is too long, and with a tensor outside of the file."""
    header = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    texts = [json.dumps(header).encode(), json.dumps({"a": header["a"] | {"shape": [9]}}).encode()]
    files = [
        len(texts[0]).to_bytes(8, "little") + texts[0] + bytes(4),
        (2**40).to_bytes(8, "little") + texts[0] + bytes(8),
        len(texts[1]).to_bytes(8, "little") + texts[1] + bytes(8),
        b"",
    ]
    for content in files:
        (tmp_path / "w.safetensors").write_bytes(content)
        with pytest.raises(
            CheckpointError, match=r"is damaged or no safetensors \(.*expected weights.*Download it again"
        ):
            load_weights(stream("osnet_x0_25"), str(tmp_path / "w.safetensors"))


def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(str(tmp_path / "w.pt"))
    with pytest.raises(CheckpointError, match=r"TorchScript program, which holds code\. Save its weights alone"):
        load_weights(stream("osnet_x0_25"), str(tmp_path / "w.pt"))


def test_the_report_is_kept_in_the_model_file(tmp_path: Path) -> None:
    """As plain values, in the same bytes each time; without a report the file has no such key."""
    torch.save(of_timm("vit_tiny_patch16_224").state, tmp_path / "w.pth")
    made = []
    for name in ("a.pt", "b.pt"):
        main = stream("timm/vit_tiny_patch16_224")
        report = load_weights(main, str(tmp_path / "w.pth"))
        assert report is not None
        made.append(save(main, tmp_path / name, Preprocessing(*SIZE), report.stored()))
    assert made[0].read_bytes() == made[1].read_bytes()
    stored = torch.load(made[0], weights_only=True)["pretrained"]
    assert stored["source"] == "w.pth"
    assert stored["wanted"] == 148
    assert len(stored["sha256"]) == 64
    assert "head.weight" in stored["unused"]
    assert load(made[0]).main_stream.config.trunk == "timm/vit_tiny_patch16_224"
    bare = save(stream("timm/vit_tiny_patch16_224"), tmp_path / "c.pt", Preprocessing(*SIZE))
    assert "pretrained" not in torch.load(bare, weights_only=True)
