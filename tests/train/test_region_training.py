"""Training with region pooling: fitted heads, the ramp, the log, resuming to the bit, controls, old checkpoints."""

import dataclasses
import functools
import re

import numpy as np
import pytest
import torch

from dsa_app.errors import ConfigError, StoreError, TrainingError
from dsa_data.stores.dsap import DsapStore
from dsa_reid.metric import join, visible_distances
from dsa_reid.model import load
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.region_pooling import label_shares
from dsa_train import checkpoint, loop, run_settings, stage
from dsa_train.batches.config import GuidanceConfig
from dsa_train.batches.feed import epoch_order, feed, generator
from dsa_train.batches.regions import of_other_people
from dsa_train.evaluation import metrics
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.features import extract
from dsa_train.evaluation.retrieval import read_retrieval
from dsa_train.evaluation_stage import Task, evaluate
from dsa_train.losses.triplet import region_triplet
from dsa_train.network.two_stream import TwoStream
from dsa_train.region_fit import fit_region_heads
from dsa_train.schedule import ScheduleConfig, learning_rate, ramp, region_rate
from dsa_train.stopping import StoppedError
from dsap.config import WarpConfig
from finished import content
from small_stores import as_version_1

FIT = 30


def regions(guide: bool = False, **changes) -> dict:
    """Return settings of a small run with region heads."""
    main = {"trunk": "resnet18", "width": 0.125, "local_pooling": "regions", "size": [64, 32], **changes}
    network = {"main": main, "weights": "none", "classifier_width": 8, "guide": guide}
    return {"network": network, "regions": {"fit": FIT, "fit_images": 12, "ramp": 2}}


def rows(out) -> list[dict]:
    return checkpoint.load(out / "checkpoint.pt")["history"]


def test_two_and_two_epochs_are_four_to_the_bit(train, tmp_path):
    settings = regions(local_levels=[16, 8])
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(whole, epochs=4, **settings)
    train(halves, epochs=2, **settings)
    train(halves, epochs=4, **settings)
    assert content(halves) == content(whole)
    for row in rows(whole):
        for level in (16, 8):
            assert 0 < row[f"regions/template_{level}"] <= 1
            assert 0 < row[f"regions/accuracy_{level}"] <= 1
            assert row[f"train/regions_{level}"] > 0


def test_interrupted_in_an_epoch_and_resumed_is_the_same_to_the_bit(train, tmp_path, monkeypatch):
    settings = regions()
    train(tmp_path / "whole", epochs=3, **settings)
    real, calls = loop.train_step, []

    def stopping(*arguments):
        calls.append(0)
        if len(calls) == 6:  # of four steps an epoch: in the middle of the second
            raise KeyboardInterrupt
        return real(*arguments)

    broken = tmp_path / "broken"
    monkeypatch.setattr(loop, "train_step", stopping)
    with pytest.raises((KeyboardInterrupt, StoppedError)):
        train(broken, epochs=3, **settings)
    monkeypatch.setattr(loop, "train_step", real)
    train(broken, epochs=3, **settings)
    assert content(broken) == content(tmp_path / "whole")


@pytest.fixture
def prepared(tiny, small):
    """Return a network and its training set, for settings."""

    def make(**changes):
        config = small(**changes)
        store = tiny.store()
        data = stage.open_training_set(tiny.root, tiny.records("train"), store, config)
        data = stage.with_templates(data, config, torch.device("cpu"))
        torch.manual_seed(0)
        return TwoStream(config.network, data.identities), data, config

    return make


def test_fitting_changes_the_heads_alone_and_is_a_function_of_the_seed(prepared):
    network, data, config = prepared(**regions(local_levels=[16, 8]))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    right = fit_region_heads(network, data, config)
    assert torch.equal(torch.get_rng_state(), random)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) != (".heads." in name), name
    assert right.keys() == {16, 8}
    assert min(one.head for one in right.values()) > 0.6, "the labels of the tiny dataset are horizontal bands"
    assert all(0.2 < one.template <= 1 for one in right.values())
    again, _, _ = prepared(**regions(local_levels=[16, 8]))
    fit_region_heads(again, data, config)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_the_log_says_which_cells_are_right_and_what_the_template_has(train, tmp_path, capsys):
    train(tmp_path, epochs=1, **regions())
    said = capsys.readouterr().err
    assert re.search(
        r"Accuracy on the cells they were fitted to: [\d.]+% at stride 16 \(mean label map: [\d.]+%\)", said
    )


def test_the_first_epoch_begins_with_fitted_heads(train, tmp_path):
    accuracy = {}
    for steps in (0, 200):
        settings = regions()
        settings["regions"] |= {"fit": steps, "lr": 1e-6}
        train(tmp_path / str(steps), epochs=1, **settings)
        (row,) = rows(tmp_path / str(steps))
        accuracy[steps] = row["regions/accuracy_16"]
    assert accuracy[200] > accuracy[0] + 0.3


def test_the_ramp_by_epoch():
    assert [ramp(epoch, 3) for epoch in range(5)] == pytest.approx([0, 1 / 3, 2 / 3, 1, 1])
    assert ramp(0, 0) == 1


def test_the_heads_have_no_warm_up_and_fall_with_the_schedule():
    config = ScheduleConfig(lr=1e-3, warmup=3, fall="cosine", end=10)
    assert region_rate(0, 0.5, config) == region_rate(3, 0.5, config) == 0.5
    assert region_rate(7, 0.5, config) == pytest.approx(500 * learning_rate(7, config))


def test_the_pooling_is_ramped_in_the_run(train, tmp_path, monkeypatch):
    seen, real = [], loop.train_step

    def noted(run, *arguments):
        groups = [group["lr"] for group in run.optimiser.param_groups]
        seen.append((run.epoch, float(run.network.main.local_pooling.ramp), groups[1]))
        return real(run, *arguments)

    monkeypatch.setattr(loop, "train_step", noted)
    train(tmp_path, epochs=3, **regions())
    assert sorted(set(seen)) == [(0, 0.0, 1e-3), (1, 0.5, 1e-3), (2, 1.0, 1e-3)]


def test_the_template_is_in_the_model_and_has_no_loss(train, tiny, small, tmp_path, prepared):
    settings = regions(local_pooling="template", local_levels=[16, 8])
    model = load(train(tmp_path, epochs=1, **settings))
    _, data, _ = prepared(**settings)
    for level, template in data.templates.items():
        assert torch.equal(getattr(model.main_stream.local_pooling, f"template_{level}"), template)
    assert not any("regions" in name for name in rows(tmp_path)[0])


def test_labels_of_others_differ_and_are_paired(prepared):
    settings = regions()
    own, data, _ = prepared(**settings)
    settings["regions"] |= {"labels": "other"}
    other, others, config = prepared(**settings)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in own.state_dict().items())
    expected = of_other_people(data.labels, generator(config.seed, "regions of other people"))
    N = len(data.images)
    assert torch.equal(others.images.read(range(N)).regions, data.images.read(range(N)).regions[expected])
    assert torch.equal(others.images.read(range(N)).images, data.images.read(range(N)).images)
    torch.testing.assert_close(others.templates[16], data.templates[16])


def test_free_attention_needs_no_maps(tiny, small, tmp_path):
    settings = regions()
    settings["regions"] = {"weight": 0, "steer": True, "fit": 0}
    stage.run(tiny.manifest, tiny.root, tmp_path / "none.h5", tmp_path / "run", small(epochs=1, **settings))
    assert not any("regions" in name for name in rows(tmp_path / "run")[0])


def test_the_attached_head_and_the_guide_on_top(train, tmp_path):
    settings = regions(guide=True)
    settings["regions"] |= {"weight": 0.35, "smoothing": 0.1, "detach": False, "steer": True}
    train(tmp_path, epochs=1, **settings)
    (row,) = rows(tmp_path)
    assert {"train/triplet_z_local", "train/regions_16", "guide/cosine", "regions/accuracy_16"} <= row.keys()


@pytest.mark.parametrize("changes", [{"local_levels": [16, 8]}, {"local_pooling": "regions+stripes"}])
def test_the_guide_has_the_width_of_longer_local_features(prepared, changes):
    network, _, _ = prepared(**regions(guide=True, **changes))
    outputs = network(torch.rand(2, 3, 64, 32), torch.rand(2, 24, 3, 8, 8))
    assert outputs.f_local.shape == outputs.d_local.shape == outputs.z_local.shape == (2, 8, 16)
    assert outputs.logits["z_local"].shape == (2, 6)


def test_networks_of_one_seed_share_all_but_the_heads(prepared):
    one, _, _ = prepared(**regions())
    two, _, _ = prepared(**regions(local_pooling="average"))
    of_two = two.state_dict()
    for name, value in one.state_dict().items():
        assert "local_pooling" in name or torch.equal(value, of_two[name]), name


def test_a_run_without_regions_has_the_configuration_that_it_had(tiny, small):
    records, store = tiny.records("train"), tiny.store()
    found = stage.run_configuration(small(), records, store)
    assert found.keys() == {"train", "identities", "pictures", "dsap"}
    assert "regions" not in found["train"]
    assert "classified" not in found["train"]["network"]
    assert not {"triplet_heads", "local_distance"} & found["train"]["losses"].keys()
    assert "drop" not in found["train"]["guidance"]
    assert not any(name.startswith("local_p") for name in found["train"]["network"]["main"])
    with_regions = stage.run_configuration(small(**regions()), records, store)
    assert with_regions["train"]["regions"]["fit"] == FIT
    assert with_regions["dsap"] is None
    assert len(with_regions["charts"]) == 64


def test_an_old_store_is_refused_with_the_remedy(tiny, small, tmp_path):
    old = tmp_path / "dsap.h5"
    old.write_bytes(tiny.dsap.read_bytes())
    as_version_1(old)
    with pytest.raises(StoreError, match=r"has version 1, .*\n?.*dsap build --overwrite"):
        stage.run(tiny.manifest, tiny.root, old, tmp_path / "run", small(**regions()))
    stage.run(tiny.manifest, tiny.root, old, tmp_path / "guided", small(epochs=1))  # part images are all there


def test_settings_that_cannot_be_are_refused(small):
    with pytest.raises(ConfigError, match="weight = 0 needs steer = true"):
        small(regions={"weight": 0, "fit": 0})
    with pytest.raises(ConfigError, match="weight = 0 needs fit = 0"):
        small(regions={"weight": 0, "steer": True})


def test_a_template_has_the_size_of_the_images(train, tmp_path):
    with pytest.raises(ConfigError, match=r"The template is built for images of 96x32, .*size out"):
        train(tmp_path, **regions(local_pooling="template", size=[96, 32]))
    settings = regions(local_pooling="template")
    del settings["network"]["main"]["size"]
    model = load(train(tmp_path, epochs=1, **settings))
    assert tuple(model.main_stream.config.size) == (64, 32)
    assert "train.network.main.size" not in run_settings.read(tmp_path).values, "it is that of train.height"


def test_the_losses_of_the_parts(train, tmp_path):
    settings = regions(local_levels=[16, 8])
    settings["network"] |= {"classified": "whole"}
    settings["losses"] = {"triplet_heads": "local", "local_distance": "regions"}
    train(tmp_path, epochs=1, **settings)
    (row,) = rows(tmp_path)
    terms = {name.removeprefix("train/") for name in row if name.startswith("train/")}
    expected = {"id_f_global", "id_f_foreground", "id_f_local", "triplet_f_local", "regions_16", "regions_8"}
    assert terms == {"loss", *expected}


def test_stripes_have_no_foreground_and_all_are_visible(prepared):
    settings = regions(local_pooling="stripes")
    settings["network"] |= {"classified": "whole"}
    network, _, config = prepared(**settings, losses={"local_distance": "regions"})
    outputs = network(torch.rand(4, 3, 64, 32))
    assert list(outputs.logits) == ["f_global", "f_local"]
    labels = torch.tensor([0, 0, 1, 1])
    found = loop.loss_terms(outputs, labels, config.losses)["triplet_f_local"]
    torch.testing.assert_close(found, 1.5 * region_triplet(outputs.f_local, torch.ones(4, 8), labels, 0.3))


def test_images_whose_guide_is_dropped_have_z_equal_f(prepared):
    network, data, config = prepared(**regions(guide=True), guidance={"drop": 0.5})
    batch = data.images.read(epoch_order(data, config, 0)[0].tolist())
    inputs = feed(batch, data, config, 0, 0)
    again = feed(batch, data, dataclasses.replace(config, guidance=GuidanceConfig()), 0, 0)
    assert again.unguided is None
    assert torch.equal(inputs.images, again.images), "all other random numbers are the same"
    outputs = network(inputs.images, inputs.parts, inputs.unguided)
    assert inputs.unguided.any()
    assert not inputs.unguided.all()
    for n, dropped in enumerate(inputs.unguided.tolist()):
        assert torch.equal(outputs.z_local[n], outputs.f_local[n]) == dropped
        assert torch.equal(outputs.z_global[n], outputs.f_global[n]) == dropped


@pytest.fixture(scope="module")
def finished(tiny, small, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(epochs=2, **regions()))
    return out


def test_evaluation_weighted_by_visibility(tiny, finished, tmp_path):
    task = Task(tiny.manifest, tiny.root, tiny.dsap, finished, keep=tmp_path)
    plain, visible = (evaluate(task, EvaluateConfig(distance=one)).metrics for one in ("euclidean", "visible"))
    assert visible["protocol"] == "distances weighted by visibility"
    assert "protocol" not in plain
    model = load(finished / "model.pt")
    paths = {split: [tiny.root / record.key for record in tiny.records(split)] for split in ("query", "gallery")}
    query, gallery = (model.embed(paths[split], visibility=True) for split in ("query", "gallery"))
    distmat = visible_distances(query, gallery, model.parts_with_visibility).numpy()
    numbers = [
        np.array([getattr(r, name) for r in tiny.records(split)]) for name in ("pid", "camid") for split in paths
    ]
    assert visible["mAP"] == pytest.approx(metrics.evaluate(distmat, *numbers).mAP)
    assert {path.name for path in (tmp_path / "main").glob("*.h5")} == {
        "query.h5", "gallery.h5", "query-visible.h5", "gallery-visible.h5"
    }  # fmt: skip
    again = evaluate(task, EvaluateConfig(distance="visible", flip=True)).metrics
    assert 0 <= again["mAP"] <= 1


def test_evaluation_by_the_labels_of_query_and_gallery(tiny, finished, monkeypatch):
    task = Task(tiny.manifest, tiny.root, tiny.dsap, finished)
    found = evaluate(task, EvaluateConfig(regions="labels")).metrics
    assert found["protocol"] == "regions by the labels of query and gallery"
    network, images = (
        load(finished / "model.pt").main_stream,
        read_retrieval(
            tiny.root, tiny.records("query", "gallery"), Preprocessing(64, 32), tiny.store(), labels=True
        ).query,
    )
    batch = images.read([0, 1])
    look = network.look(images.preprocessing.normalise(batch.images), label_shares(batch.regions))
    torch.testing.assert_close(extract(network, images)[:2], join(*look.features).detach(), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(
        extract(network, images)[:2], join(*network(images.preprocessing.normalise(batch.images)))
    )
    monkeypatch.setattr(DsapStore, "read_charts", lambda store, index: np.full((5, 5), 255, np.uint8))
    with pytest.raises(TrainingError, match="No image of query and gallery has a map"):
        evaluate(task, EvaluateConfig(regions="labels"))


@pytest.mark.parametrize("settings", [{"distance": "visible"}, {"regions": "labels"}])
def test_evaluations_that_need_regions_are_refused_without(tiny, train, tmp_path, settings):
    train(tmp_path, epochs=1)
    with pytest.raises(TrainingError, match="needs a network that predicts body regions"):
        evaluate(Task(tiny.manifest, tiny.root, tiny.dsap, tmp_path), EvaluateConfig(**settings))


def test_evaluation_settings_that_contradict_each_other():
    with pytest.raises(ValueError, match="without re-ranking"):
        EvaluateConfig(distance="visible", rerank={"on": True})
    with pytest.raises(ValueError, match="is for match = main"):
        EvaluateConfig(regions="labels", match="fused")


def test_a_region_teacher_leaves_the_deployed_network_as_it_is(train, tmp_path):
    settings = regions(local_pooling="average")
    settings["network"] |= {"region_teacher": True}
    model = load(train(tmp_path, epochs=1, **settings))
    assert model.main_stream.local_pooling is None
    (row,) = rows(tmp_path)
    assert {"train/align_t_local", "train/triplet_t_local", "train/id_t_local_7"} <= row.keys()
    configuration = checkpoint.load(tmp_path / "checkpoint.pt")["configuration"]
    assert configuration["train"]["network"]["region_teacher"]
    assert configuration["charts"]


def test_a_region_teacher_of_regions_is_refused(small):
    settings = regions()
    settings["network"] |= {"region_teacher": True}
    with pytest.raises(ConfigError, match="region_teacher = true is for local heads with local_pooling = average"):
        small(**settings)


@pytest.mark.parametrize("guide", [False, True])
def test_the_size_of_part_images_matters_to_a_guide_alone(tiny, small, tmp_path, guide):
    config = small(epochs=1, **regions(guide))
    other = WarpConfig(size=16)  # the store was built with 8
    run = functools.partial(stage.run, tiny.manifest, tiny.root, tiny.dsap, tmp_path / "run", config, other)
    if guide:
        with pytest.raises(StoreError, match="size was 8, this run wants 16"):
            run()
    else:
        assert run().is_file()
