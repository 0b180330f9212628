"""The guide: Table 1's sizes, the merging table, and grouped branches against the loop."""

import pytest
import torch
from torch import nn

from dsa_data.charts import BODY_REGIONS, PAIRS
from dsa_train.network.branches import GroupedBranches, LoopBranches, copy_weights
from dsa_train.network.guide_stream import GuideStream
from dsa_train.network.merging import merge_pairs, merge_regions


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def paper_on_meta() -> GuideStream:
    with torch.device("meta"):
        return GuideStream(channels=1024, feature_width=2048)


def test_parameters_of_the_paper(paper_on_meta: GuideStream) -> None:
    assert parameters(paper_on_meta) == 162_025_472
    assert parameters(paper_on_meta.branches.charts) == 4_157_184
    assert parameters(paper_on_meta.branches.pairs) == 6_832_384
    assert parameters(paper_on_meta.global_head) == 134_238_208
    assert parameters(paper_on_meta.local_head) == 16_797_696


def test_the_loop_has_the_same_parameters() -> None:
    with torch.device("meta"):
        loop = GuideStream(channels=1024, feature_width=2048, branches="loop")
    assert parameters(loop) == 162_025_472


def test_output_sizes_of_table_1(paper_on_meta: GuideStream) -> None:
    branches = paper_on_meta.branches
    layers = {
        "conv1": branches.charts.conv1,
        "conv2": branches.charts.conv2,
        "conv3_x": branches.charts.conv3_x,
        "conv4_x": branches.pairs,
        "D": branches,
        "conv5_g": paper_on_meta.global_head,
        "conv5_l": paper_on_meta.local_head,
    }
    seen: dict[str, tuple[int, ...]] = {}
    hooks = [
        layer.register_forward_hook(lambda _, __, out, name=name: seen.update({name: tuple(out.shape)}))
        for name, layer in layers.items()
    ]
    d_global, d_local = paper_on_meta(torch.empty(2, 24, 3, 32, 32, device="meta"))
    for hook in hooks:
        hook.remove()
    assert seen == {
        "conv1": (2, 24 * 32, 32, 32),
        "conv2": (2, 24 * 64, 32, 32),
        "conv3_x": (2, 24 * 64, 16, 16),
        "conv4_x": (2, 13 * 128, 8, 8),
        "D": (2, 1024, 8, 8),
        "conv5_g": (2, 2048, 8, 8),
        "conv5_l": (2, 2048, 8, 8),
    }
    assert d_global.shape == (2, 2048)
    assert d_local.shape == (2, 8, 256)


def test_widths_follow_the_trunk() -> None:
    """c_A = 256 for ResNet-18: c/4, c/2, c/2, c with c = 32."""
    with torch.device("meta"):
        guide = GuideStream(channels=256, feature_width=512)
    charts = guide.branches.charts
    assert charts.conv1.out_channels == 24 * 8
    assert charts.conv2.out_channels == 24 * 16
    assert charts.conv3_x[0].conv1.out_channels == 24 * 16
    assert guide.branches.pairs[0].conv1.out_channels == 13 * 32
    assert guide.global_head[0].conv1.out_channels == 512
    assert guide.local_head[0].conv1.weight.shape == (512, 32, 3, 3)


def test_every_chart_is_merged_once_and_pairs_stay_whole() -> None:
    assert len(PAIRS) == 13
    assert len(BODY_REGIONS) == 8
    assert sorted(chart for pair in PAIRS for chart in pair) == list(range(1, 25))
    assert sorted(chart for region in BODY_REGIONS.values() for chart in region) == list(range(1, 25))
    for pair in PAIRS:
        assert sum(set(pair) <= set(region) for region in BODY_REGIONS.values()) == 1


def test_merging_adds_up_what_the_table_says() -> None:
    """Chart i holds the number 2^i, so that a sum tells which charts are in it."""
    charts = torch.tensor([2**chart for chart in range(1, 25)]).view(1, 24, 1, 1, 1).expand(2, 24, 3, 2, 2)
    pairs = merge_pairs(charts)
    assert pairs.shape == (2, 13, 3, 2, 2)
    assert pairs[1, :, 2, 1, 0].tolist() == [sum(2**chart for chart in pair) for pair in PAIRS]
    regions = merge_regions(pairs)
    assert regions.shape == (2, 8, 3, 2, 2)
    expected = [sum(2**chart for chart in region) for region in BODY_REGIONS.values()]
    assert regions[1, :, 2, 1, 0].tolist() == expected


def test_grouped_branches_equal_the_loop() -> None:
    """Forward, gradients and running statistics, in float64."""
    torch.manual_seed(0)
    grouped = GroupedBranches(width=8).double()
    loop = LoopBranches(width=8).double()
    copy_weights(grouped, loop)
    parts = torch.randn(3, 24, 3, 8, 8, dtype=torch.float64)
    for_grouped, for_loop = (parts.clone().requires_grad_() for _ in range(2))
    maps, expected = grouped(for_grouped), loop(for_loop)
    torch.testing.assert_close(maps, expected)

    direction = torch.randn_like(maps)
    (maps * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(for_grouped.grad, for_loop.grad)
    side_by_side = {name: p.grad for name, p in grouped.named_parameters()}
    for name, p in loop.named_parameters():
        part, branch, layer = name.split(".", 2)
        grad = side_by_side[f"{part}.{layer}"].chunk(len(getattr(loop, part)))[int(branch)]
        torch.testing.assert_close(grad, p.grad)

    after = LoopBranches(width=8).double()
    copy_weights(grouped, after)
    for name, value in loop.state_dict().items():
        torch.testing.assert_close(after.state_dict()[name], value)


def test_a_chart_reaches_its_own_region_only() -> None:
    torch.manual_seed(1)
    branches = GroupedBranches(width=8).double().eval()
    parts = torch.randn(1, 24, 3, 8, 8, dtype=torch.float64)
    before = branches(parts).unflatten(1, (8, 8))
    for index, region in enumerate(BODY_REGIONS.values()):
        changed = parts.clone()
        changed[:, region[-1] - 1] += 1
        moved = (branches(changed).unflatten(1, (8, 8)) != before).flatten(2).any(2)[0]
        assert moved.nonzero().flatten().tolist() == [index]
