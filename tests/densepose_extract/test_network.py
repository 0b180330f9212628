"""The network: detectron2's names and outputs, and its parts by hand, by slow oracles and by properties."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from densepose_extract.engines.embedded import Mesh, place_embedded
from densepose_extract.engines.native import detect
from densepose_extract.engines.people import detect_people, encode
from densepose_extract.engines.placing import Taps, integer_box, interpolate_label, resample
from densepose_extract.network import MODELS, DensePoseRCNN, Surface, build
from densepose_extract.network.box_head import best_people, people_together
from densepose_extract.network.boxes import anchors, clip, decode, has_area, rescale
from densepose_extract.network.deeplab import DilatedPyramid
from densepose_extract.network.embedding import VERTICES
from densepose_extract.network.pooling import level_of, pool, pool_levels
from densepose_extract.network.proposals import best_proposals, proposals_together
from densepose_extract.network.suppression import greedy
from densepose_extract.network.trunk import ConvNorm, fold_norms
from densepose_extract.recipe import Recipe
from densepose_extract.vertices import Vertices
from densepose_extract.weights.checkpoint import fill
from detectron2_reference import entries, golden, shapes
from dsa_app.errors import EngineError

HEADS = ("coarse_segm", "fine_segm", "u", "v")
CPU = torch.device("cpu")
UNIT = (1.0, 1.0, 1.0, 1.0)


def boxes_of(seed: int, count: int, height: int = 128, width: int = 256) -> Tensor:
    """Return random boxes that lie partly outside an image."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(-20, [width, height], (count, 2))
    return torch.from_numpy(np.hstack([start, start + rng.uniform(1, 100, (count, 2))]).astype(np.float32))


@pytest.mark.parametrize(
    "model", ["R_50_FPN_s1x", "R_101_FPN_s1x", "R_50_FPN_DL_s1x", "R_50_FPN_WC2M_s1x", "CSE_R_50_FPN_s1x"]
)
def test_state_dict_has_detectron2s_names_and_shapes(model: str) -> None:
    with torch.device("meta"):
        network = build(model)
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == shapes(model)


def test_models_with_confidence_differ_in_heads_alone() -> None:
    """As detectron2's: WC1 has one variance, WC2 adds the correlated part, M the confidence of the labels."""
    own = "roi_heads.densepose_predictor."
    heads = {
        "": set(),
        "WC1_": {"sigma_2"},
        "WC2_": {"sigma_2", "kappa_u", "kappa_v"},
        "WC1M_": {"sigma_2", "fine_segm_confidence", "coarse_segm_confidence"},
        "WC2M_": {"sigma_2", "kappa_u", "kappa_v", "fine_segm_confidence", "coarse_segm_confidence"},
    }
    for trunk in ("R_50_FPN_", "R_50_FPN_DL_", "R_101_FPN_", "R_101_FPN_DL_"):
        with torch.device("meta"):
            plain = {name: value.shape for name, value in build(f"{trunk}s1x").state_dict().items()}
            for suffix, added in heads.items():
                names = {name: value.shape for name, value in build(f"{trunk}{suffix}s1x").state_dict().items()}
                more = {f"{own}{head}_lowres.{end}" for head in added for end in ("weight", "bias")}
                assert names.keys() - plain.keys() == more
                assert {name: names[name] for name in plain} == plain


SLOW_MODELS = [
    pytest.param(model, marks=pytest.mark.slow) for model in ("R_101_FPN_s1x", "R_50_FPN_DL_s1x", "R_50_FPN_WC2M_s1x")
]
VARIANCES = ("sigma_2", "kappa_u", "kappa_v")


@pytest.mark.parametrize("model", ["R_50_FPN_s1x", *SLOW_MODELS])
def test_outputs_are_detectron2s(model: str, network: DensePoseRCNN) -> None:
    if model != "R_50_FPN_s1x":
        network = build(model)
        fill(network, entries(model), "random weights")
    expected = golden(model)
    for want, got in zip(expected, detect(network, [each["image"] for each in expected]), strict=True):
        torch.testing.assert_close(got.boxes, torch.from_numpy(want["boxes"]), atol=1e-2, rtol=0)
        torch.testing.assert_close(got.scores, torch.from_numpy(want["scores"]), atol=1e-4, rtol=0)
        stated = [head for head in VARIANCES if head in want]
        assert stated == [head for head in VARIANCES if getattr(got, head) is not None]
        for head in (*HEADS, *stated):
            raw = getattr(got, head)[: len(want[head]), :, ::8, ::8]
            torch.testing.assert_close(raw, torch.from_numpy(want[head]), atol=1e-3, rtol=0)
        _, _, width, height = integer_box(got.boxes[0])
        labels, uv = resample(got, 0, height, width)
        assert labels.shape == want["labels"].shape
        same = labels.numpy() == want["labels"]
        assert (~same).mean() <= 1e-3
        np.testing.assert_allclose(uv.numpy()[:, same], want["uv"][:, same], atol=1e-3)
        for head in stated:
            taps = Taps(height, 112, CPU), Taps(width, 112, CPU)
            at_label = interpolate_label(getattr(got, head)[0], labels, *taps).numpy()
            body = same & (want["labels"] > 0)
            np.testing.assert_allclose(at_label[body], want[f"{head}_at_label"][body], atol=1e-3)


@pytest.mark.slow
def test_embeddings_and_their_vertices_are_detectron2s() -> None:
    model = "CSE_R_50_FPN_s1x"
    network = build(model)
    fill(network, entries(model), "random weights")
    (want,) = golden(model)
    recipe = Recipe()
    with torch.no_grad():
        encoded = encode(network, [want["image"]], recipe)
        (people,) = detect_people(network, encoded, recipe)
        torch.testing.assert_close(people.boxes, torch.from_numpy(want["boxes"]), atol=1e-2, rtol=0)
        torch.testing.assert_close(people.scores, torch.from_numpy(want["scores"]), atol=1e-4, rtol=0)
        heads = network.embedded(encoded.maps, [people.resized_boxes[:1]])
        for head in ("coarse_segm", "embedding"):
            raw = getattr(heads, head)[:, :, ::8, ::8]
            torch.testing.assert_close(raw, torch.from_numpy(want[head]), atol=1e-3, rtol=0)
        # A table that numbers the vertices: each has a u of its own, of which 16 bits hold the number exactly.
        number = np.arange(VERTICES, dtype=np.float32)
        table = Vertices(np.ones(VERTICES, np.uint8), (number + 0.5) / 65536, np.zeros(VERTICES, np.float32))
        x, y, w, h = integer_box(people.boxes[0])
        height, width = want["image"].shape[:2]
        fine = np.zeros((height, width, 2), np.uint16)
        iuv = place_embedded(heads, 0, people.boxes[0], (height, width), Mesh(network.vertices(), table), fine)
    inside = slice(y, y + h), slice(x, x + w)
    assert (iuv[inside][..., 0].astype(bool) != want["mask"]).mean() <= 1e-3
    assert (fine[inside][..., 0] != want["vertices"])[want["mask"]].mean() <= 0.05  # near ties


def test_unknown_model_is_named_with_the_nearest() -> None:
    with pytest.raises(EngineError, match=r"R_50_s1x.*Did you mean 'R_50_FPN_s1x'"):
        build("R_50_s1x")


def test_build_is_ready_for_inference() -> None:
    with torch.device("meta"):
        network = build("R_101_FPN_DL_s1x")
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert len(MODELS) == 24


def test_folded_norm_is_the_same_function() -> None:
    torch.manual_seed(0)
    conv = ConvNorm(3, 8, 3, stride=2)
    for name, low, high in (("weight", 0.5, 1.2), ("bias", -1, 1), ("running_mean", -1, 1), ("running_var", 0.5, 2)):
        getattr(conv.norm, name).uniform_(low, high)
    x = torch.randn(2, 3, 9, 10)
    with torch.no_grad():
        want = conv(x)
        fold_norms(conv)
        torch.testing.assert_close(conv(x), want)
        conv.fold()  # once more changes nothing
        torch.testing.assert_close(conv(x), want)
    assert want.shape == (2, 8, 5, 5)
    assert set(conv.state_dict()) == {"weight", "bias"}


def test_anchors_by_hand() -> None:
    found = anchors(32, 4, 2, 3, CPU).reshape(2, 3, 3, 4)  # row, column, aspect
    w, h = 45.2548, 22.6274  # 32² = w·h, h = w/2
    half = torch.tensor([[-w, -h, w, h], [-32, -32, 32, 32], [-h, -w, h, w]]) / 2
    torch.testing.assert_close(found[0, 0], half, atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1, 2], half + torch.tensor([8.0, 4.0, 8.0, 4.0]), atol=1e-4, rtol=0)


def test_deltas_by_hand() -> None:
    box = torch.tensor([[10.0, 20.0, 30.0, 60.0]])  # 20 wide, 40 high, centre (20, 40)
    moved = decode(torch.tensor([[0.5, -0.25, 0.0, 0.0]]), box, UNIT)
    assert moved.tolist() == [[20.0, 10.0, 40.0, 50.0]]
    doubled = decode(torch.tensor([[5.0, 0.0, 5 * np.log(2), 0.0]]), box, (10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(doubled, torch.tensor([[10.0, 20.0, 50.0, 60.0]]))
    huge = decode(torch.tensor([[0.0, 0.0, 100.0, 0.0]]), box, UNIT)
    assert float(huge[0, 2] - huge[0, 0]) == pytest.approx(20 * 1000 / 16)


def test_bf16_deltas_move_boxes_in_float32() -> None:
    box = torch.tensor([[1000.25, 0.0, 1001.5, 1.0]])
    assert torch.equal(decode(torch.zeros((1, 4), dtype=torch.bfloat16), box, UNIT), box)


def test_clip_and_has_area() -> None:
    found = clip(torch.tensor([[-5.0, 2.0, 50.0, 9.0], [40.0, 0.0, 60.0, 5.0]]), height=8, width=30)
    assert found.tolist() == [[0, 2, 30, 8], [30, 0, 30, 5]]
    assert has_area(found).tolist() == [True, False]
    assert not has_area(torch.tensor([[0.0, 0.0, float("nan"), 1.0]]))


def test_rescale_and_back() -> None:
    box = torch.tensor([[4.0, 8.0, 16.0, 32.0]])
    resized = rescale(box, (64, 32), (256, 64))
    assert resized.tolist() == [[8, 32, 32, 128]]
    assert torch.equal(rescale(resized, (256, 64), (64, 32)), box)


def test_levels_by_hand() -> None:
    sides = torch.tensor([0.0, 55.9, 111.9, 112.1, 223.9, 224.1, 448.1, 5000.0])
    square = torch.stack([torch.zeros(8), torch.zeros(8), sides, sides], dim=1)
    assert level_of(square).tolist() == [2, 2, 2, 3, 3, 4, 5, 5]


def test_pooled_levels_are_each_box_pooled_from_its_own() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(2, 4, 128 // stride, 256 // stride) for stride in (4, 8, 16, 32)]
    boxes = [clip(boxes_of(1, 9), 128, 256), torch.tensor([[0.0, 0.0, 256.0, 128.0]])]
    found = pool_levels(maps, boxes, 7)
    slow = []
    for image, regions in enumerate(boxes):
        for box in regions:
            level = int(level_of(box[None])) - 2
            slow.append(pool(maps[level][image : image + 1], [box[None]], 7, 4 << level))
    torch.testing.assert_close(found, torch.cat(slow))


def test_bf16_features_are_sampled_at_float32_coordinates() -> None:
    torch.manual_seed(0)
    features = torch.randn(1, 2, 8, 400).bfloat16()
    box = torch.tensor([[1001.3, 3.0, 1011.7, 20.0]])  # a step of bf16 is 4 here
    exact = pool(features.float(), [box], 7, 4)
    assert torch.equal(pool(features, [box], 7, 4), exact.bfloat16())
    assert not torch.allclose(pool(features.float(), [box.bfloat16().float()], 7, 4), exact, atol=0.1)


def slow_suppression(boxes: Tensor, scores: Tensor, overlap: float) -> list[int]:
    """Greedily keep the best that overlaps no better one by more than `overlap`."""
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if all(iou(boxes[i].tolist(), boxes[j].tolist()) <= overlap for j in kept):
            kept.append(i)
    return kept


def iou(a: list[float], b: list[float]) -> float:
    """Intersection over union of two boxes."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union else 0.0


@given(seed=st.integers(0, 10**6), count=st.integers(0, 30), threshold=st.sampled_from([0.0, 0.05, 0.5]))
@settings(max_examples=40, deadline=None)
def test_people_are_the_greedy_ones_above_the_threshold(seed: int, count: int, threshold: float) -> None:
    boxes = boxes_of(seed, count)
    scores = torch.from_numpy(np.random.default_rng(seed).random(count).astype(np.float32))
    inside = clip(boxes, 128, 256)
    able = [i for i in range(count) if scores[i] > threshold]
    kept = [able[i] for i in slow_suppression(inside[able], scores[able], 0.5)][:5]
    found, best = best_people(boxes, scores, (128, 256), threshold, 5)
    assert torch.equal(found, inside[kept])
    assert torch.equal(best, scores[kept])


def test_proposals_suppress_within_a_level_only() -> None:
    box = torch.tensor([0.0, 0.0, 10.0, 10.0])
    boxes = torch.stack([box, box, box + 0.5, torch.tensor([90.0, 0.0, 99.0, 9.0])])
    level = torch.tensor([0, 1, 0, 0])
    scores = torch.tensor([0.2, 0.9, 0.5, 0.7])
    found = best_proposals(boxes, scores, level, (20, 80), 3)
    assert found.tolist() == [[0, 0, 10, 10], [0.5, 0.5, 10.5, 10.5]]  # the last is empty once clipped
    assert len(best_proposals(boxes, scores, level, (20, 80), 1)) == 1


@given(seed=st.integers(0, 10**6), count=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_suppression_of_many_images_is_the_greedy_one_of_each(seed: int, count: int) -> None:
    boxes = torch.stack([boxes_of(seed + image, count) for image in range(3)])
    able = torch.from_numpy(np.random.default_rng(seed).random((3, count)) < 0.9)
    stays = greedy(boxes, able, 0.3)
    for image in range(3):
        own = able[image].nonzero().flatten()
        kept = slow_suppression(boxes[image, own], -torch.arange(len(own), dtype=torch.float32), 0.3)
        assert stays[image].nonzero().flatten().tolist() == sorted(own[kept].tolist())


def test_a_chain_of_suppressions_longer_than_the_rounds_between_two_checks() -> None:
    """Every box overlaps its neighbours alone: each second one stays."""
    x = torch.arange(31.0)[:, None]
    boxes = torch.cat([x, torch.zeros_like(x), x + 1.9, torch.ones_like(x)], dim=1)[None]
    stays = greedy(boxes, torch.ones(1, 31, dtype=torch.bool), 0.3)
    assert stays[0].tolist() == [n % 2 == 0 for n in range(31)]


@given(seed=st.integers(0, 10**6), counts=st.lists(st.integers(1, 30), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_people_of_all_images_together_are_those_of_each(seed: int, counts: list[int]) -> None:
    sizes = [(128, 256), (100, 90), (128, 256), (60, 256)][: len(counts)]
    boxes = [boxes_of(seed + n, count) for n, count in enumerate(counts)]
    scores = [
        torch.from_numpy(np.random.default_rng(seed + n).random(len(b)).astype(np.float32)) for n, b in enumerate(boxes)
    ]
    boxes[0][0, 1] = torch.nan
    found = people_together(torch.cat(boxes), torch.cat(scores), counts, sizes, 0.2, 5)
    for n, (of_image, best) in enumerate(found):
        want, want_scores = best_people(boxes[n], scores[n], sizes[n], 0.2, 5)
        assert torch.equal(of_image, want)
        assert torch.equal(best, want_scores)


@given(seed=st.integers(0, 10**6), per_level=st.integers(1, 60))
@settings(max_examples=40, deadline=None)
def test_proposals_of_all_images_together_are_those_of_each(seed: int, per_level: int) -> None:
    sizes = [(128, 256), (100, 90)]
    generator = np.random.default_rng(seed)
    logits = np.sort(generator.normal(size=(3, 2, per_level)).astype(np.float32))[..., ::-1].copy()
    scores = [torch.from_numpy(level) for level in logits]
    scores[0][0, 0] = torch.inf
    boxes = [torch.stack([boxes_of(seed + 7 * n + image, per_level) for image in range(2)]) for n in range(3)]
    found = proposals_together(boxes, scores, sizes, 20)
    level = torch.arange(3).repeat_interleave(per_level)
    for image, size in enumerate(sizes):
        own = torch.cat([level[image] for level in boxes]), torch.cat([level[image] for level in scores])
        assert torch.equal(found[image], best_proposals(*own, level, size, 20))


def test_surface_of_no_box_is_empty(network: DensePoseRCNN) -> None:
    nothing = network.surface([torch.zeros(1)], [torch.zeros((0, 4))])
    assert nothing.coarse_segm.shape == (0, 2, 112, 112)
    assert nothing.fine_segm.shape == nothing.u.shape == nothing.v.shape == (0, 25, 112, 112)


def test_deeplab_pools_over_the_whole_region() -> None:
    torch.manual_seed(0)
    pooled = DilatedPyramid().eval().convs[4]
    x = torch.randn(2, 256, 5, 5)
    with torch.no_grad():
        found = pooled(x)
        torch.testing.assert_close(found, pooled(x.flip(-1)))
    assert found.shape == x.shape
    assert torch.equal(found, found[:, :, :1, :1].expand_as(found))


def test_bf16_keeps_boxes_and_heads_in_float32_and_near(network: DensePoseRCNN) -> None:
    half = copy.deepcopy(network)
    fold_norms(half)
    half.to(torch.bfloat16)
    torch.manual_seed(0)
    x = 50 * torch.randn(1, 3, 64, 64)
    box = [torch.tensor([[8.0, 4.0, 60.0, 60.0]])]
    answers: list[tuple[Tensor, Tensor, Surface]] = []
    with torch.no_grad():
        for net in (network, half):
            maps = net.features(x)
            proposals = net.propose(maps, [(64, 64)], 10)
            _, scores = net.people(maps, box, [(64, 64)], 0.0, 5)[0]
            answers.append((proposals[0], scores, net.surface(maps, box)))
    assert maps[0].dtype == torch.bfloat16
    (_, score, heads), (boxes_half, score_half, heads_half) = answers
    assert boxes_half.dtype == score_half.dtype == torch.float32
    torch.testing.assert_close(score_half, score, atol=0.02, rtol=0)
    for head in HEADS:
        exact, rounded = getattr(heads, head), getattr(heads_half, head)
        assert rounded.dtype == torch.float32
        assert float((rounded - exact).abs().mean() / exact.abs().mean()) < 0.03
