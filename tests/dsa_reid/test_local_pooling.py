"""The ways of pooling the local features: shapes, gradients, the ramp, labels, old files, and exports."""

from pathlib import Path

import pytest
import torch

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, ModelError
from dsa_reid.config import written
from dsa_reid.local_pooling import cells
from dsa_reid.main_stream import pooled
from dsa_reid.region_pooling import label_shares, region_pooled, stripes

SIZE = (64, 32)
WAYS = ("average", "regions", "stripes", "regions+stripes", "template")


def stream(**changes: object) -> MainStream:
    torch.manual_seed(0)
    settings = {"trunk": "resnet18", "width": 0.125, "size": SIZE, **changes}
    network = MainStream(MainStreamConfig(**settings))  # type: ignore[arg-type]
    if network.local_pooling is not None:
        for template in network.local_pooling.templates().values():
            template.copy_(torch.rand_like(template).softmax(0))
    network(torch.randn(8, 3, *SIZE))  # running statistics of its own
    return network.eval()


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("levels", "join", "factor"), [((16,), "concat", 1), ((16, 8), "concat", 2), ((16, 8), "sum", 1)]
)
def test_shapes(way: str, levels: tuple[int, ...], join: str, factor: int) -> None:
    network = stream(local_pooling=way, local_levels=levels, local_join=join)
    factor *= 2 if "+" in way and join == "concat" else 1
    f = network(images())
    assert f.global_.shape == (3, 64)
    assert f.local.shape == (3, 8, 8 * factor)
    assert network.parts == {"global": 64, "local": 64 * factor}
    look = network.look(images())
    predicted = "regions" in way
    assert list(look.logits) == (list(levels) if predicted else [])
    assert (look.visibility is not None) == predicted
    for level, logits in look.logits.items():
        assert logits.shape == (3, 9, *cells(SIZE, level))


def test_the_papers_way_is_what_it_was() -> None:
    network = stream()
    assert network.local_pooling is None
    before = pooled(network.trunk(images()), network.global_head, network.local_head)
    after = network(images())
    assert torch.equal(before.global_, after.global_)
    assert torch.equal(before.local, after.local)
    assert not any("local_pooling" in name for name in network.state_dict())


def test_stripes_and_templates_by_the_weighted_mean() -> None:
    for way in ("stripes", "template"):
        network = stream(local_pooling=way, heads="local")
        maps = network.local_head(network.trunk(images()))
        weights = stripes(4, 2) if way == "stripes" else network.local_pooling.template_16[None, 1:]
        torch.testing.assert_close(network(images()).local, region_pooled(maps, weights))


def test_levels_and_ways_are_joined_in_order() -> None:
    network = stream(local_pooling="regions+stripes", local_levels=(16, 8))
    by_region, by_stripe, fine_by_region, fine_by_stripe = network(images()).local.chunk(4, dim=2)
    maps = network.trunk.levels(images())
    shares = {level: logits.softmax(1)[:, 1:] for level, logits in network.look(images()).logits.items()}
    coarse, fine = network.local_head(maps[16]), network.local_pooling.fine(maps[8])
    torch.testing.assert_close(by_region, region_pooled(coarse, shares[16]))
    torch.testing.assert_close(by_stripe, region_pooled(coarse, stripes(4, 2)))
    torch.testing.assert_close(fine_by_region, region_pooled(fine, shares[8]))
    torch.testing.assert_close(fine_by_stripe, region_pooled(fine, stripes(8, 4)))
    network = stream(local_pooling="regions+stripes", local_levels=(16, 8), local_join="sum")
    torch.testing.assert_close(
        network(images()).local, by_region + by_stripe + fine_by_region + fine_by_stripe, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(("detach", "steer"), [(True, False), (False, False), (True, True), (False, True)])
def test_which_losses_change_what(detach: bool, steer: bool) -> None:
    network = stream(local_pooling="regions", local_levels=(16, 8), heads="local").train()
    network.local_pooling.detach, network.local_pooling.steer = detach, steer
    trunk, heads = list(network.trunk.parameters()), list(network.local_pooling.heads.parameters())

    def changed(loss: torch.Tensor, weights: list[torch.nn.Parameter]) -> bool:
        gradients = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
        return any(gradient is not None and bool(gradient.any()) for gradient in gradients)

    look = network.look(images(4))
    of_regions = sum(logits.square().sum() for logits in look.logits.values())
    of_features = look.features.local.square().sum()
    assert changed(of_regions, heads)
    assert changed(of_regions, trunk) != detach
    assert changed(of_features, heads) == steer
    assert changed(of_features, trunk)


POINTWISE = {"local_head": "pointwise", "local_input": "full", "local_channels": 96}


@pytest.mark.parametrize("inputs", ["full", "slice"])
def test_pointwise_heads_by_hand(inputs: str) -> None:
    network = stream(**(POINTWISE | {"local_input": inputs}), local_pooling="regions")
    F_ = network.trunk(images())  # (B, 32, h, w)
    convolution, norm, _ = network.local_head
    shares = network.look(images()).logits[16].softmax(1)[:, 1:]
    for region in range(8):
        read = F_ if inputs == "full" else F_[:, 4 * region : 4 * region + 4]
        own = slice(12 * region, 12 * region + 12)
        maps = torch.einsum("oi,bihw->bohw", convolution.weight[own, :, 0, 0], read)
        scale = norm.weight[own] / torch.sqrt(norm.running_var[own] + norm.eps)
        maps = ((maps - norm.running_mean[own, None, None]) * scale[:, None, None] + norm.bias[own, None, None]).relu()
        weights = shares[:, region, None]
        expected = (maps * weights).sum((2, 3)) / (weights.sum((2, 3)) + 1e-3)
        torch.testing.assert_close(network(images()).local[:, region], expected)


@pytest.mark.parametrize(("head", "blind"), [("pointwise", True), ("conv5", False)])
def test_a_pointwise_feature_of_a_region_does_not_see_other_cells(head: str, blind: bool) -> None:
    settings = POINTWISE if head == "pointwise" else {}
    network = stream(**settings, local_pooling="regions")
    labels = torch.zeros(1, 9, *SIZE)
    labels[:, 1, :32] = 1  # the upper half is the torso, the rest background
    labels[:, 0, 32:] = 1
    F_ = torch.randn(1, 32, 4, 2, generator=torch.Generator().manual_seed(2)).relu()
    changed = F_.clone()
    changed[:, :, 2:] += 1  # only background
    first, second = (
        network.local_pooling({16: maps}, network.local_head(maps), None, labels).features[:, 0]
        for maps in (F_, changed)
    )
    assert torch.equal(first, second) == blind


def test_pointwise_heads_have_their_own_width() -> None:
    network = stream(**POINTWISE, local_pooling="regions", local_levels=(16, 8))
    assert network.parts == {"global": 64, "local": 2 * 96}
    assert network(images()).local.shape == (3, 8, 24)
    average = stream(**POINTWISE)
    assert average.local_pooling is None
    assert average.parts == {"global": 64, "local": 96}
    assert stream(local_head="pointwise").parts == {"global": 64, "local": 64}


def test_the_ramp_goes_from_the_average_to_regions_in_training_alone() -> None:
    network = stream(local_pooling="regions")
    plain = stream()
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if "local_pooling" not in k})
    regions = network(images()).local
    for module in (network, plain):
        module.train()
        for norm in module.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.eval()
    average = plain(images()).local
    for ramp in (0.0, 0.25, 1.0):
        network.local_pooling.ramp.fill_(ramp)
        torch.testing.assert_close(network(images()).local, (1 - ramp) * average + ramp * regions)
    network.local_pooling.ramp.fill_(0.0)
    assert torch.equal(network.eval()(images()).local, regions)


def test_pooling_by_labels_where_there_are_any() -> None:
    network = stream(local_pooling="regions", heads="local")
    regions = torch.full((2, *SIZE), 255, dtype=torch.uint8)
    regions[1, :16], regions[1, 16:] = 8, 5
    look = network.look(images(2), label_shares(regions))
    predicted = network.look(images(2))
    assert torch.equal(look.features.local[0], predicted.features.local[0])
    maps = network.local_head(network.trunk(images(2))).unflatten(1, (8, -1))
    torch.testing.assert_close(look.features.local[1, 7], maps[1, 7, :, :1].mean((1, 2)), rtol=2e-3, atol=1e-4)
    torch.testing.assert_close(look.features.local[1, 4], maps[1, 4, :, 1:].mean((1, 2)), rtol=2e-3, atol=1e-4)
    assert look.visibility[1].tolist() == [0, 0, 0, 0, 1, 0, 0, 1]


def test_flipped_images_have_the_same_places_flipped() -> None:
    """A trunk that is its own mirror image would give flipped regions; here the head alone is asked."""
    network = stream(local_pooling="regions", local_levels=(16, 8))
    maps = network.trunk.levels(images())
    flipped = {level: one.flip(3) for level, one in maps.items()}
    for level in (16, 8):
        head = network.local_pooling.heads[str(level)]
        one, other = (head(network.local_pooling.read(each, level)) for each in (maps, flipped))
        torch.testing.assert_close(other, one.flip(3), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("way", "settings"),
    [*(pytest.param(way, {}, marks=pytest.mark.slow) for way in WAYS), ("regions+stripes", POINTWISE)],
)
def test_a_model_file_keeps_the_way_and_the_export_gives_its_features(
    way: str, settings: dict[str, object], tmp_path: Path
) -> None:
    network = stream(**settings, local_pooling=way, local_levels=(16, 8))
    path = dsa_reid.save(network, tmp_path / "model.pt", dsa_reid.Preprocessing(*SIZE))
    model = dsa_reid.load(path)
    assert model.main_stream.config == network.config
    assert torch.equal(model.main_stream(images()).local, network(images()).local)
    for name in ("model.onnx", "model.pt2"):
        dsa_reid.export(model, tmp_path / name)
        checked = dsa_reid.check(model, tmp_path / name)
        assert checked.passed, (name, checked)


def test_openvino_gives_the_same_features(tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    network = stream(local_pooling="regions+stripes", local_levels=(16, 8))
    model = dsa_reid.load(dsa_reid.save(network, tmp_path / "model.pt", dsa_reid.Preprocessing(*SIZE)))
    dsa_reid.export(model, tmp_path / "model.onnx", "outside")
    compiled = openvino.compile_model(tmp_path / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = torch.from_numpy(compiled(images().numpy())[0])
    torch.testing.assert_close(found, dsa_reid.join(*network(images())), atol=1e-4, rtol=1e-4)


def test_files_of_the_papers_way_are_what_they_were(tmp_path: Path) -> None:
    path = dsa_reid.save(stream(), tmp_path / "model.pt", dsa_reid.Preprocessing(*SIZE))
    content = torch.load(path, weights_only=True)
    assert list(content["config"]) == ["trunk", "width", "local_input", "heads", "pooling", "neck", "size"]
    assert dsa_reid.load(path).main_stream.config == stream().config
    assert written({"local_pooling": "average", "local_levels": [16], "trunk": "a"}) == {"trunk": "a"}
    assert written({"local_levels": [16, 8]}) == {"local_levels": [16, 8]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"local_pooling": "region"}, "local_pooling = 'region' is invalid"),
        ({"local_levels": (8,)}, r"local_levels = \[8\] is invalid"),
        ({"local_join": "mean"}, "local_join = 'mean' is invalid"),
        ({"local_pooling": "regions", "heads": "global"}, "heads = 'global' has none"),
        ({"local_head": "conv1"}, "local_head = 'conv1' is invalid"),
        ({"local_channels": 64}, "local_channels is for local_head = 'pointwise'"),
        ({"local_head": "pointwise", "local_channels": 12}, "local_channels = 12 is invalid: .* multiple of 8"),
        ({"local_head": "pointwise", "local_channels": -8}, "local_channels = -8 is invalid"),
        ({"local_head": "pointwise", "local_channels": 2**20}, "local_channels = 1048576 is invalid"),
        ({"local_head": "pointwise", "local_channels": 64.0}, r"local_channels = 64\.0 is invalid"),
    ],
)
def test_wrong_settings_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        MainStreamConfig(**changes)  # type: ignore[arg-type]


def test_timm_trunks_give_both_levels_under_the_same_names() -> None:
    pytest.importorskip("timm")
    one, two = (
        MainStream(MainStreamConfig("timm/mobilenetv2_100", size=SIZE, local_levels=levels))
        for levels in ((16,), (16, 8))
    )
    assert one.trunk.state_dict().keys() == two.trunk.state_dict().keys()
    two.trunk.load_state_dict(one.trunk.state_dict())
    maps = two.eval().trunk.levels(images())
    assert torch.equal(maps[16], one.eval().trunk(images()))
    assert maps[8].shape == (3, 32, 8, 4)
    with pytest.raises(ModelError, match=r"none at 8\. Set local_levels = \[16\]"):
        MainStream(MainStreamConfig("timm/vit_tiny_patch16_224", size=SIZE, local_levels=(16, 8)))


@pytest.mark.parametrize("trunk", ["timm/mobilenetv2_100", "resnet50"])
def test_regions_at_two_levels_cost_at_most_eight_percent_more(trunk: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    if trunk.startswith("timm"):
        pytest.importorskip("timm")
    size = (128, 64)
    counts = []
    two = {"local_pooling": "regions", "local_levels": (16, 8)}
    pointwise = {"local_head": "pointwise", "local_input": "full", "local_channels": 512}
    for changes in ({}, two, two | pointwise):
        network = MainStream(MainStreamConfig(trunk, size=size, **changes)).eval().to("meta")  # type: ignore[arg-type]
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, *size, device="meta"))
        counts.append(counter.get_total_flops())
    assert 1 < counts[1] / counts[0] < 1.08
    assert counts[2] / counts[0] < 1.08


def test_visibility_is_kept_with_the_features(tmp_path: Path) -> None:
    network = stream(local_pooling="regions", local_levels=(16, 8))
    model = dsa_reid.load(dsa_reid.save(network, tmp_path / "model.pt", dsa_reid.Preprocessing(*SIZE)))
    crops = torch.randint(0, 256, (3, *SIZE, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain, kept = (model.embed(list(crops.numpy()), visibility=visibility) for visibility in (False, True))
    assert torch.equal(kept[:, :-8], plain)
    look = network.look(model.preprocessing.normalise(crops))
    torch.testing.assert_close(kept[:, -8:], look.logits[8].softmax(1)[:, 1:].amax((2, 3)))
    assert sum(model.parts_with_visibility.values()) == kept.shape[1]
    found = dsa_reid.visible_distances(kept, kept, model.parts_with_visibility)
    torch.testing.assert_close(found.diagonal(), torch.zeros(3), atol=2e-3, rtol=0)
    assert model.embed([], visibility=True).shape == (0, kept.shape[1])


def test_visibility_of_a_network_without_regions_is_refused(tmp_path: Path) -> None:
    model = dsa_reid.load(dsa_reid.save(stream(), tmp_path / "model.pt", dsa_reid.Preprocessing(*SIZE)))
    with pytest.raises(ModelError, match="does not predict body regions"):
        model.features(torch.zeros(1, *SIZE, 3, dtype=torch.uint8), visibility=True)


@pytest.mark.parametrize("way", ["regions", "template"])
def test_the_foreground_feature_by_hand(way: str) -> None:
    network = stream(local_pooling=way)
    assert network.look(images()).foreground is None
    network.looks_at_foreground = True
    look = network.look(images())
    maps = network.global_head(network.trunk(images()))
    pooling = network.local_pooling
    background = look.logits[16].softmax(1)[:, 0] if way == "regions" else pooling.template_16[None, 0]
    body = 1 - background  # (B, h, w)
    expected = (maps * body[:, None]).sum((2, 3)) / (body.sum((1, 2)) + 1e-3)[:, None]
    torch.testing.assert_close(look.foreground, expected)
    assert torch.equal(look.features.global_, network(images()).global_)
