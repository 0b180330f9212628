import pytest
import torch

from densepose_extract.config import ExtractConfig
from dsa_app.config import read_settings
from dsa_train.config import TrainConfig
from dsa_train.losses.config import LossConfig
from dsa_train.losses.terms import loss_terms
from dsa_train.network.two_stream import TwoStream
from dsa_train.published import DSA, FURTHER_ROWS, ROWS
from dsap.config import WarpConfig
from repository import ROOT

NAMES = sorted({row.experiment for row in ROWS})


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.chdir(ROOT)
    return lambda name, *changes: read_settings(None, "market1501", name, changes)


def test_nine_trainings_each_in_a_file():
    files = {
        str(file.relative_to(ROOT / "experiments").with_suffix(""))
        for file in (ROOT / "experiments").glob("table[345]/*.yaml")
    }
    assert files == set(NAMES)
    assert len(NAMES) == 9
    assert len(ROWS) == 14


def test_the_full_scheme_is_the_defaults(settings):
    found = settings("table3/dsa-reid")
    assert found.section("train", TrainConfig) == TrainConfig()
    assert found.section("warp", WarpConfig) == WarpConfig()


# the terms of each training's loss: their number and the sum of their weights, by docs/design/paper.md
EXPECTED = {
    "table3/baseline": (2, 1.0 + 1.5),
    "table3/baseline-re": (2, 1.0 + 1.5),
    "table3/baseline-re-ls": (2, 1.0 + 1.5),
    "table3/two-branches": (11, 9 * 0.5 + 2 * 1.5),
    "table3/global-single": (3, 0.5 + 1.0 + 1.5),
    "table3/local-single": (10, 8 * 0.5 + 1.0 + 1.5),
    "table3/dsa-reid": (13, 9 * 0.5 + 2 * 1.0 + 2 * 1.5),
    "table4/csa": (13, 9 * 0.5 + 2 * 1.0 + 2 * 1.5),
    "table5/concatenation": (13, 9 * 0.5 + 2 * 1.0 + 2 * 1.5),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_trains_the_losses_it_should(settings, name, monkeypatch):
    config = settings(name, "train.network.main.width=0.125", "train.network.main.trunk=resnet18").section(
        "train", TrainConfig
    )
    network = TwoStream(config.network, identities=2).eval()
    parts = torch.rand(4, 24, 3, 8, 8) if config.network.guide else None
    outputs = network(torch.rand(4, 3, 32, 16), parts)
    for kind in ("identity_loss", "batch_hard_triplet"):
        monkeypatch.setattr(f"dsa_train.losses.terms.{kind}", lambda *_: torch.ones(()))
    weights = loss_terms(outputs, torch.tensor([0, 0, 1, 1]), config.losses)
    assert (len(weights), float(sum(weights.values()))) == EXPECTED[name]


def test_what_the_small_files_change(settings):
    def section(name):
        return settings(name).section("train", TrainConfig)

    baseline, erasing, smoothing = (section(f"table3/baseline{more}") for more in ("", "-re", "-re-ls"))
    assert (baseline.augment.erase, erasing.augment.erase, smoothing.augment.erase) == (0, 0.5, 0.5)
    assert (baseline.losses.smoothing, erasing.losses.smoothing) == (0, 0)
    assert smoothing.losses == LossConfig()
    assert section("table5/concatenation").network.fusion == "concat"
    assert settings("table4/csa").section("warp", WarpConfig).parts == "coarse"
    for name in NAMES:
        assert section(name).epochs == 320


def test_joint_rows_share_one_training():
    matches = [row.match for row in ROWS if row.table == 3 and row.experiment == DSA]
    assert matches == ["global", "local", "fused", "main"]


# what each control and what goes beyond asks of the main stream: terms of its loss, and which of them are on f
FURTHER = {
    "controls/nothing": (13, set()),
    "controls/another": (13, set()),
    "controls/average-map": (13, set()),
    "controls/no-guide": (13, set()),
    "beyond/own-losses": (15, {"triplet_f_global", "triplet_f_local"}),
    "beyond/faded": (13, set()),
    "beyond/dropped-charts": (13, set()),
    "beyond/apart": (17, {"triplet_f_global", "triplet_f_local"}),
    "beyond/taught": (17, {"triplet_f_global", "triplet_f_local"}),
    **{
        f"regions/{name}": (11, {"triplet_f_global", "triplet_f_local"})
        for name in (
            *("own", "other", "template", "unsupervised", "stripes", "with-stripes", "attached", "unfitted"),
            *(f"two-levels-{kind}" for kind in ("own", "other", "template", "stripes", "average", "conv5", "sum")),
        )
    },
    "regions/parts": (4, {"triplet_f_local"}),
    **{
        f"regions/{name}": (11, {"triplet_f_global", "triplet_f_local"}) for name in ("gem", "teacher", "teacher-other")
    },
    "regions/two-levels-parts": (4, {"triplet_f_local"}),
    "regions/two-levels-parts-other": (4, {"triplet_f_local"}),
    "regions/two-levels-parts-template": (4, {"triplet_f_local"}),
    "regions/two-levels-parts-average": (3, {"triplet_f_local"}),
    "regions/guided": (13, set()),
    "regions/guided-other": (13, set()),
    "regions/guided-dropped": (13, set()),
    "regions/guided-own-losses": (15, {"triplet_f_global", "triplet_f_local"}),
}


def test_each_further_row_has_a_file_and_differs_from_the_paper(settings):
    files = {
        str(file.relative_to(ROOT / "experiments").with_suffix(""))
        for folder in ("controls", "beyond", "regions")
        for file in (ROOT / "experiments" / folder).glob("*.yaml")
    }
    assert files == {row.experiment for row in FURTHER_ROWS} == FURTHER.keys()
    for name in FURTHER:
        sections = settings(name)
        own = sections.section("train", TrainConfig), sections.section("extract", ExtractConfig)
        assert own != (TrainConfig(), ExtractConfig())
        assert settings(name).section("warp", WarpConfig) == WarpConfig()


@pytest.mark.parametrize("name", FURTHER)
def test_further_rows_train_the_losses_they_should(settings, name):
    small = ("train.network.main.width=0.125", "train.network.main.trunk=resnet18")
    config = settings(name, *small).section("train", TrainConfig)
    network = TwoStream(config.network, identities=2).eval()
    parts = torch.rand(4, 24, 3, 8, 8) if config.network.guide else None
    found = loss_terms(network(torch.rand(4, 3, 256, 128), parts), torch.tensor([0, 0, 1, 1]), config.losses)
    count, on_f = FURTHER[name]
    assert len(found) == count
    assert {term for term in found if term.startswith("triplet_f")} == on_f
