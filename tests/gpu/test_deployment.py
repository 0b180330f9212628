"""Embedding, exported networks and evaluation on a GPU against the CPU.

Tolerances: values of features of length one differ by at most 1e-4, distances by at most 1e-3, mAP and Rank-1 by at
most 1e-4 (two gallery images may be so near each other that they change places).
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.export.passes

import dsa_reid
from compared import CPU
from dsa_train.evaluation.distmat import blocks
from dsa_train.evaluation.metrics import evaluate
from thin import write_images, write_model

pytestmark = pytest.mark.gpu

FEATURE, DISTANCE = 1e-4, 1e-3  # absolute


def test_embed_has_the_cpus_features(device: torch.device, tmp_path: Path) -> None:
    path = write_model(tmp_path / "model.pt")
    images = sorted(write_images(tmp_path / "images").rglob("*.jpg"))
    ours, expected = (dsa_reid.load(path, where).embed(images, batch_size=5) for where in (device, "cpu"))
    assert ours.device.type == "cpu"
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, rtol=0, atol=FEATURE)


def test_auto_is_the_gpu(device: torch.device, tmp_path: Path) -> None:
    assert dsa_reid.load(write_model(tmp_path / "model.pt"), "auto").device.type == device.type


def test_an_exported_network_runs_on_the_gpu(device: torch.device, tmp_path: Path) -> None:
    """The .pt2 file, moved to the device as torch.export documents it, has the features of `Model.embed`."""
    model = dsa_reid.load(write_model(tmp_path / "model.pt"))
    path = dsa_reid.export(model, tmp_path / "model.pt2", resize="outside")
    program = torch.export.load(path)
    if device.type == "cuda":
        program = torch.export.passes.move_to_device_pass(program, device)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 32, 16, 3), dtype=torch.uint8, generator=generator)
    ours = program.module()(images.to(device)).cpu()
    torch.testing.assert_close(ours, model.features(images), rtol=0, atol=FEATURE)


def test_distances_and_measures_are_the_cpus(device: torch.device) -> None:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(20, 64))
    pids = [np.arange(60) % 20, np.arange(300) % 20]
    sides = [(centres[p] + 2 * generator.normal(size=(len(p), 64))).astype(np.float32) for p in pids]
    camids = [np.zeros(60, int), np.arange(300) % 3 + 1]
    measured = {}
    for where in (device, CPU):
        (_, distmat), *_ = blocks(*sides, "euclidean", where, memory=1)
        measured[where] = distmat, evaluate(distmat, *pids, *camids)
    np.testing.assert_allclose(measured[device][0], measured[CPU][0], atol=DISTANCE)
    ours, expected = measured[device][1], measured[CPU][1]
    assert 0.05 < expected.mAP < 0.95, "the example is neither trivial nor hopeless"
    assert ours.mAP == pytest.approx(expected.mAP, abs=1e-4)
    assert ours.rank(1) == pytest.approx(expected.rank(1), abs=1e-4)
