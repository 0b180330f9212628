"""Confidences in training: texels weighted or dropped, labels weighted; off by default, and refused without any."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dsa_app.config import to_dict
from dsa_app.errors import StoreError
from dsa_data.stores.dsap import DsapStore, pack, write_dsap
from dsa_data.stores.header import Header
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.region_pooling import label_shares
from dsa_train import checkpoint, stage
from dsa_train.batches.augment import Augmentation, augment, fill, mirror_table, sample_augmentation
from dsa_train.batches.config import AugmentConfig, GuidanceConfig
from dsa_train.batches.dataset import Images, seen_texels
from dsa_train.batches.feed import generator
from dsa_train.batches.regions import moved, moved_confidence, weighted_shares
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation_stage import Task, evaluate
from dsa_train.losses.regions import region_loss
from dsap.config import WarpConfig

SIZE = Preprocessing(64, 32)
FIT = {"fit": 5, "fit_images": 6, "ramp": 2}


@pytest.fixture(scope="session")
def sure(tiny, tmp_path_factory):
    """The tiny dataset with a store that has confidences, those of charts from 0 on the left to 255 on the right."""
    rng = np.random.default_rng(3)
    records, store, chunks = tiny.records(), tiny.store(), []
    for record in records:
        index = store.index(record.key)
        texels, valid = store.read(index)
        charts = store.read_charts(index)
        confidence = rng.integers(0, 256, valid.shape, dtype=np.uint8) * valid
        of_charts = np.broadcast_to(np.linspace(0, 255, charts.shape[1]).astype(np.uint8), charts.shape)
        chunks.append(pack(texels, valid, charts, record.digest, "0" * 64, confidence, of_charts))
    header = Header("tiny", {"warp": to_dict(WarpConfig(size=8))}, "made up")
    path = tmp_path_factory.mktemp("sure") / "dsap.h5"
    write_dsap(path, header, 8, [record.key for record in records], chunks, confidence=True)
    return dataclasses.replace(tiny, dsap=path)


def read(sure, **guidance) -> Images:
    return Images(sure.root, sure.records("train"), SIZE, sure.store(), guidance=GuidanceConfig(**guidance))


def test_a_store_with_confidences_is_read_as_one_without_by_default(tiny, sure) -> None:
    plain = Images(tiny.root, tiny.records("train"), SIZE, tiny.store()).read([0, 3])
    batch = read(sure).read([0, 3])
    for one, other in zip(batch.tensors(), plain.tensors(), strict=True):
        assert torch.equal(one, other)


def test_weighted_texels_come_nearer_to_the_mean(sure) -> None:
    plain, weighted = read(sure).read([0, 3]), read(sure, confidence="weight").read([0, 3])
    confidence = torch.from_numpy(sure.store().read_confidences([sure.store().index(r.key) for r in rows(sure, 0, 3)]))
    expected = fill(plain.texels, plain.valid, SIZE) * (confidence[:, :, None] / 255)
    torch.testing.assert_close(fill(weighted.texels, weighted.valid, SIZE), expected)
    assert 0 < expected.abs().sum() < fill(plain.texels, plain.valid, SIZE).abs().sum()


def rows(sure, *indices):
    records = sure.records("train")
    return [records[index] for index in indices]


@pytest.mark.parametrize("least", [0.0, 0.3, 1.0])
def test_texels_below_the_least_confidence_are_dropped(sure, least: float) -> None:
    confidence = np.array([[0, 76, 77, 254, 255]], np.uint8)  # 0.3 is 76.5
    valid = np.array([[True, True, True, True, True]])
    seen = seen_texels(valid, confidence, GuidanceConfig(confidence="drop", least_confidence=least))
    expected = {0.0: [True] * 5, 0.3: [False, False, True, True, True], 1.0: [False] * 4 + [True]}
    assert seen.tolist() == [expected[least]]
    assert not seen_texels(valid * False, confidence, GuidanceConfig(confidence="drop", least_confidence=0)).any()


def test_a_dropped_chart_is_dropped_from_weights_too(sure) -> None:
    batch = read(sure, confidence="weight").read([0, 1])
    sampled = Augmentation(
        torch.tensor([False, True]), torch.zeros(2, 2, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.int64)
    )
    dropped = torch.zeros(2, 24, dtype=torch.bool)
    dropped[0, 5] = True
    _, all_parts = augment(batch, sampled, 0, mirror_table("fine", 8), SIZE)
    _, parts = augment(batch, dataclasses.replace(sampled, dropped=dropped), 0, mirror_table("fine", 8), SIZE)
    assert all_parts[0, 5].any()
    assert not parts[0, 5].any()
    assert torch.equal(parts[0, 6:], all_parts[0, 6:])
    assert torch.equal(parts[1], all_parts[1])


def test_confidences_of_labels_move_with_them() -> None:
    sampled = sample_augmentation(6, 24, 12, AugmentConfig(pad=3, flip=0.5, erase=0.7), generator(0, "a"))
    confidence = torch.randint(1, 256, (6, 24, 12), generator=generator(0, "c"), dtype=torch.uint8)
    # As labels 1 to 255 would: padding and erased boxes, 0 there, are surely background here.
    expected = moved(confidence.clamp(max=254), sampled, 3)
    found = moved_confidence(confidence.clamp(max=254), sampled, 3)
    assert torch.equal(found, torch.where(expected == 0, 255, expected))
    assert (expected == 0).any()


def test_the_loss_of_a_pixel_is_weighted_by_its_confidence() -> None:
    regions = torch.tensor([[[1, 2], [255, 0]]], dtype=torch.uint8)
    shares = weighted_shares(regions, torch.tensor([[[255, 51], [255, 0]]], dtype=torch.uint8))
    assert torch.equal(weighted_shares(regions), label_shares(regions))
    logits = torch.randn(1, 9, 2, 2, generator=generator(0))
    log_p = logits.log_softmax(1)[0]
    expected = -(log_p[1, 0, 0] + 0.2 * log_p[2, 0, 1]) / 1.2
    torch.testing.assert_close(region_loss(logits, shares), expected)


@pytest.mark.parametrize("confidence", ["weight", "drop"])
def test_training_and_evaluation_use_them(sure, small, tmp_path: Path, confidence: str) -> None:
    config = small(guidance={"confidence": confidence, "least_confidence": 0.4})
    for number in range(2):  # the second time it is trained already
        stage.run(sure.manifest, sure.root, sure.dsap, tmp_path / "run", config)
        state = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
        assert state["configuration"]["train"]["guidance"]["confidence"] == confidence, number
    stage.run(sure.manifest, sure.root, sure.dsap, tmp_path / "plain", small())
    other = checkpoint.load(tmp_path / "plain" / "checkpoint.pt")
    assert "confidence" not in other["configuration"]["train"]["guidance"]
    assert "confidence" not in other["configuration"]
    assert any(not torch.equal(state["network"][name], value) for name, value in other["network"].items())
    # The guide sees the same at evaluation: features of the fused match differ from those of a guide shown everything.
    task = Task(sure.manifest, sure.root, sure.dsap, tmp_path / "run", keep=tmp_path / "kept")
    evaluate(task, EvaluateConfig(match="fused"))
    used = (tmp_path / "kept" / "fused" / "query.h5").read_bytes()
    changed = {**state, "configuration": {**state["configuration"]}}
    changed["configuration"]["train"] = {**state["configuration"]["train"], "guidance": {"shown": "own", "fade": None}}
    checkpoint.save(tmp_path / "run" / "checkpoint.pt", changed)
    evaluate(task, EvaluateConfig(match="fused"))
    assert (tmp_path / "kept" / "fused" / "query.h5").read_bytes() != used


def test_labels_are_weighted_in_training(sure, small, tmp_path: Path) -> None:
    main = {"trunk": "resnet18", "width": 0.125, "local_pooling": "regions", "size": [64, 32]}
    network = {"main": main, "weights": "none", "classifier_width": 8, "guide": False}
    histories = []
    for weighted in (False, True):
        config = small(epochs=1, network=network, regions={**FIT, "confidence": weighted})
        out = tmp_path / str(weighted)
        stage.run(sure.manifest, sure.root, sure.dsap, out, config)
        state = checkpoint.load(out / "checkpoint.pt")
        assert ("chart_confidence" in state["configuration"]) == weighted
        histories.append(state["history"][0]["train/regions_16"])
    assert histories[0] != histories[1]


@pytest.mark.parametrize("section", ["guidance", "regions"])
def test_a_store_without_confidences_is_refused(tiny, small, tmp_path: Path, section: str) -> None:
    main = {"trunk": "resnet18", "width": 0.125, "local_pooling": "regions", "size": [64, 32]}
    network = {"main": main, "weights": "none", "classifier_width": 8, "guide": section == "guidance"}
    more = {"guidance": {"confidence": "drop"}} if section == "guidance" else {"regions": {**FIT, "confidence": True}}
    with pytest.raises(StoreError, match="has no confidences"):
        stage.run(tiny.manifest, tiny.root, tiny.dsap, tmp_path / "run", small(network=network, **more))


def test_without_a_guide_the_setting_has_no_effect(tiny, small, tmp_path: Path) -> None:
    network = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8, "guide": False}
    config = small(network=network, guidance={"confidence": "drop"})
    assert not config.needs_confidence
    assert DsapStore(tiny.dsap).version == 2
    stage.run(tiny.manifest, tiny.root, tiny.dsap, tmp_path / "run", config)
