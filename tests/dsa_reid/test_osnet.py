"""OSNet as a trunk, against torchreid's network written again in tests/cases/layouts.py."""

from pathlib import Path

import pytest
import torch

import layouts
from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing, load, save
from dsa_reid.config import OSNETS
from dsa_reid.osnet import WIDTHS, OsNet

SIZE = (64, 32)


def test_the_names_are_those_of_the_settings() -> None:
    assert tuple(WIDTHS) == OSNETS


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("osnet_x1_0", (64, 256, 384, 512)),
        ("osnet_x0_25", (16, 64, 96, 128)),
        ("osnet_ibn_x1_0", (64, 256, 384, 512)),
    ],
)
def test_maps_and_parameters_are_torchreids(name: str, channels: tuple[int, int, int, int]) -> None:
    theirs = layouts.randomised(layouts.TorchreidOsNet(channels, "ibn" in name))
    ours = OsNet(name).eval()
    own = {key: value for key, value in theirs.state_dict().items() if not key.startswith(("fc.", "classifier."))}
    ours.load_state_dict(own)
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs.maps(images), rtol=1e-4, atol=1e-4)
        assert ours.levels(images)[8].shape == (2, channels[1], 8, 4)


def test_its_size_is_the_papers() -> None:
    """2.2 million parameters at width 1 with the embedding of 512 (Zhou et al. 2019, table 1)."""
    embedding = 512 * 512 + 512 + 2 * 512
    assert sum(one.numel() for one in OsNet("osnet_x1_0").parameters()) + embedding == pytest.approx(2.2e6, rel=0.02)


@pytest.mark.parametrize("levels", [(16,), (16, 8)])
def test_features_and_model_file(levels: tuple[int, ...], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = MainStream(MainStreamConfig(trunk="osnet_x0_25", local_levels=levels)).eval()
    images = torch.randn(2, 3, *SIZE)
    with torch.no_grad():
        f_global, f_local = network(images)
        assert (f_global.shape, f_local.shape) == ((2, 128), (2, 8, 16 * len(levels)))
        restored = load(save(network, tmp_path / "model.pt", Preprocessing(*SIZE))).main_stream
        assert all(torch.equal(a, b) for a, b in zip(restored(images), (f_global, f_local), strict=True))


def test_a_width_is_part_of_the_name() -> None:
    with pytest.raises(ModelError, match=r"width = 0\.5 is invalid.*as osnet_x0_5\. Set width = 1"):
        MainStreamConfig(trunk="osnet_x1_0", width=0.5)
