"""The recipes: each loads and builds, differs by the guide alone from the one on top, trains, resumes, is exported."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dsa_app.config import read_settings, to_dict
from dsa_reid import check, export, load
from dsa_train import stage
from dsa_train.config import TrainConfig, sized
from dsa_train.losses.terms import loss_terms
from dsa_train.network.two_stream import TwoStream
from dsa_train.published import published, row_experiment
from dsa_train.recipes import DATASETS, EXPERIMENTS, FOLDER, GUIDED, RECIPES, recipe_of
from repository import ROOT

THIN = {  # a small trunk of the same kind
    "transreid-vit-b": "timm/vit_tiny_patch16_224",
    "solider-swin-t": "timm/swin_tiny_patch4_window7_224",
    "osnet": "osnet_x0_25",
    "mobile": "timm/mobilenetv2_050",
}


def settings(experiment: str, *changes: str) -> TrainConfig:
    return sized(read_settings(None, "market1501", experiment, changes).section("train", TrainConfig))


def tiny_settings(experiment: str, *changes: str) -> TrainConfig:
    """Return the settings of a recipe on a thin network and a batch of six small images."""
    trunk = THIN.get(experiment.removeprefix(FOLDER).removesuffix(GUIDED))
    main = "train.network.main."
    small = [f"{main}trunk={trunk}"] if trunk else [f"{main}trunk=resnet18", f"{main}width=0.125"]
    small += ["train.network.weights=none", "train.network.conv5_init=random", "train.network.classifier_width=8"]
    small += ["train.height=96", "train.width=32", "train.identities=3", "train.pictures=2", "train.freeze=0"]
    return settings(experiment, *small, *changes)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def _needs_timm(request: pytest.FixtureRequest) -> None:
    name = request.getfixturevalue("experiment")
    if any(name.startswith(f"{FOLDER}{own}") for own, trunk in THIN.items() if trunk.startswith("timm/")):
        pytest.importorskip("timm", reason="the extra `timm` is not installed")


def test_every_recipe_has_two_files() -> None:
    files = {f"{FOLDER}{path.stem}" for path in (ROOT / "experiments" / FOLDER).glob("*.yaml")}
    assert files == set(EXPERIMENTS)
    assert len(EXPERIMENTS) == 20


@pytest.mark.usefixtures("_needs_timm")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_recipe_loads_and_builds(experiment: str) -> None:
    config = settings(experiment)
    with torch.device("meta"):
        network = TwoStream(config.network, 5)
    assert network.main.local_head is None
    assert (network.guide is not None) == experiment.endswith(GUIDED)


@pytest.mark.parametrize("name", RECIPES)
def test_with_the_guide_is_the_same_with_the_papers_losses_on_z(name: str) -> None:
    """Of the settings, only the guide and weights of losses differ; the losses on f have the weights they had."""
    plain, guided = (settings(f"{FOLDER}{name}{end}") for end in ("", GUIDED))
    own, other = (to_dict(config) for config in (plain, guided))
    assert other["network"].pop("guide")
    assert not own["network"].pop("guide")
    for weight in ("id_f", "id_z", "triplet", "triplet_f"):
        own["losses"].pop(weight)
        other["losses"].pop(weight)
    assert own == other
    assert (guided.losses.id_z, guided.losses.triplet) == (1.0, 1.5)
    assert guided.losses.triplet_f == plain.losses.triplet
    # without a guide and without pieces the only feature is weighted as z
    assert guided.losses.id_f == (plain.losses.id_f if plain.network.main.has_pieces else plain.losses.id_z)


@pytest.mark.usefixtures("_needs_timm")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_loss_terms_of_a_recipe(experiment: str) -> None:
    name = experiment.removeprefix(FOLDER).removesuffix(GUIDED)
    cameras = ["train.network.main.cameras=[1, 2]"] if name == "transreid-vit-b" else []  # a training sets them itself
    config = tiny_settings(experiment, *cameras)
    torch.manual_seed(0)
    network = TwoStream(config.network, 3, centres=config.losses.centre > 0)
    parts, pids = torch.rand(6, 24, 3, 8, 8) if config.network.guide else None, torch.tensor([0, 0, 1, 1, 2, 2])
    outputs = network(torch.rand(6, 3, 96, 32), parts)
    terms = loss_terms(outputs, pids, config.losses, classifier=config.network.classifier)
    assert all(loss.isfinite() for loss in terms.values())
    pieces = {"pcb": 6, "mgn": 8}.get(name, 1)
    assert sum(term.startswith("id_f_") for term in terms) == pieces
    on_z = {"id_z_global", "triplet_z_global"} if experiment.endswith(GUIDED) else set()
    assert {term for term in terms if "_z_" in term and not term.startswith("centre")} == on_z
    assert sum(term.startswith("centre") for term in terms) == (name in ("bot", "agw"))
    on_f = [term for term, loss in terms.items() if term.startswith("triplet_f") and config.losses.triplet]
    assert len(on_f) == {"mgn": 3, "pcb": 0, "ide": 0, "osnet": 0}.get(name, 1) or name in ("ide", "osnet")


def test_numbers_of_the_authors_stand_beside_results_of_their_recipe() -> None:
    assert published("market1501", "recipes/bot", "main") == {"the authors, Market-1501": {"rank1": 94.5, "mAP": 85.9}}
    assert published("market1501", "recipes/bot+dsa", "main") == {}
    assert published("cuhk03", "recipes/mgn", "main") == {}, "a source may have used other boxes"
    assert published("market1501", "recipes/bot", "main", "re-ranked") == {}
    assert row_experiment("recipes/bot+dsa") == "recipes/bot+dsa"
    assert recipe_of("recipes/bot+dsa") is None


def test_published_numbers_are_percentages_of_known_datasets() -> None:
    for recipe in RECIPES.values():
        assert set(recipe.published) <= set(DATASETS)
        for rank1, mean_ap in recipe.published.values():
            assert 1 < mean_ap < rank1 < 100
        assert recipe.source


def test_the_list_has_recipes_with_sources_and_results(run, monkeypatch, tmp_path: Path) -> None:
    from dsa_train import results
    from dsa_train.result_settings import of_row

    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path))
    lines = run("experiments", "--dataset", "market1501").output.splitlines()
    (mgn,) = [line for line in lines if line.endswith("recipes/mgn")]
    assert mgn.split() == ["MGN", "95.7/86.9", "88.7/78.4", "68.0/67.4", "–", "not", "yet", "recipes/mgn"]
    assert any("hyper.ai/papers/1804.01438" in line for line in lines)

    measures = {"mAP": 0.5, "rank1": 0.625, "rank5": 0.7, "rank10": 0.8}
    own = results.Result("recipes/mgn", "main", measures, of_row("recipes/mgn"))
    results.write(tmp_path / "market1501", own)
    other = dataclasses.replace(own, experiment="recipes/pcb", values=of_row("recipes/pcb") | {"train.epochs": 1})
    results.write(tmp_path / "market1501", other)
    lines = run("experiments", "--dataset", "market1501").output.splitlines()
    (mgn,) = [line for line in lines if line.endswith("recipes/mgn")]
    assert "62.5/50.0" in mgn
    (pcb,) = [line for line in lines if line.startswith("recipes/pcb main")]
    assert pcb.split()[2:] == ["50.0", "62.5", "70.0", "80.0", "train.epochs=1"]


@pytest.mark.slow
@pytest.mark.usefixtures("_needs_timm")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_recipe_trains_resumes_and_is_exported(experiment: str, tiny, tmp_path: Path) -> None:
    """Two epochs, of which the second is resumed from a checkpoint, equal two epochs at once; the export is checked."""

    def train(out: Path, epochs: int) -> Path:
        config = tiny_settings(experiment, f"train.epochs={epochs}", "train.device=cpu", "train.threads=1")
        return stage.run(tiny.manifest, tiny.root, tiny.dsap, out, config, experiment=experiment)

    train(tmp_path / "resumed", 1)
    model = train(tmp_path / "resumed", 2)
    assert model.read_bytes() == train(tmp_path / "whole", 2).read_bytes()
    made = json.loads((tmp_path / "resumed" / "settings.json").read_text())
    assert made["experiment"] == experiment
    read = load(model)
    assert read.main_stream.config.heads == "global"
    exported = export(read, tmp_path / "model.pt2", resize="outside")
    assert check(read, exported, batch=2).passed
    features = read.features(torch.randint(0, 256, (2, 96, 32, 3), dtype=torch.uint8)).numpy()
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
