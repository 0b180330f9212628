"""Stage one on a GPU against the CPU.

Tolerances: in fp32 boxes within 0.05 pixels, scores within 1e-3, at most 1% of a map's labels differ, and U and V
differ by at most 2 of 255 where the labels are the same. In bf16 the same person is detected, with a score within 0.02.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from compared import CPU
from densepose_extract.engines.native import NativeEngine
from densepose_extract.engines.sizing import as_read, resized_here
from densepose_extract.recipe import Recipe
from detectron2_reference import golden

pytestmark = pytest.mark.gpu

SMALL = Recipe(min_size=64, max_size=256, batch=4)
IMAGES = [each["image"] for each in golden("R_50_FPN_s1x")]
BATCH = [IMAGES[0], IMAGES[0][::-1].copy(), IMAGES[0][:, ::-1].copy()]


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> NativeEngine:
    return NativeEngine(checkpoint, "cpu", recipe=SMALL)


def test_fp32_maps_are_the_cpus(device: torch.device, checkpoint: Path, reference: NativeEngine) -> None:
    engine = NativeEngine(checkpoint, device.type, recipe=SMALL)
    assert engine.identity["device"] == device.type
    for ours, expected in zip(engine.extract(BATCH), reference.extract(BATCH), strict=True):
        assert ours.status == expected.status
        assert ours.score == pytest.approx(expected.score, abs=1e-3)
        np.testing.assert_allclose(ours.box, expected.box, atol=0.05)
        same = ours.iuv[..., 0] == expected.iuv[..., 0]
        assert (~same).mean() <= 0.01
        assert np.abs(ours.iuv.astype(int) - expected.iuv)[same].max() <= 2


def test_a_gpu_enlarges_to_pillows_bytes(device: torch.device) -> None:
    sizes = [(512, 256), (600, 256), (256, 300)]
    images = [np.ascontiguousarray(image) for image in (BATCH[0], BATCH[1][:-3], BATCH[2][:50, :40])]
    ours = as_read(images, sizes).on(device).cpu()
    assert torch.equal(ours, resized_here(images, sizes).on(CPU))
    mine, pillows = (make([images[0]] * 3, [sizes[0]] * 3) for make in (as_read, resized_here))  # of one size
    assert torch.equal(mine.on(device).cpu(), pillows.on(CPU))


def test_a_batch_gives_the_same_bytes_again(device: torch.device, checkpoint: Path) -> None:
    engine = NativeEngine(checkpoint, device.type, recipe=SMALL)
    for first, second in zip(engine.extract(BATCH), engine.extract(BATCH), strict=True):
        assert np.array_equal(first.iuv, second.iuv)
        assert np.array_equal(first.box, second.box)
        assert first.score == second.score


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_batches_in_flight_are_those_computed_alone(device: torch.device, checkpoint: Path, precision: str) -> None:
    """Two threads, each with a stream of its own, give every batch the bytes that it has alone."""
    engine = NativeEngine(checkpoint, device.type, precision, recipe=SMALL)
    assert engine.in_flight == (2 if device.type == "cuda" else 1)
    batches = [BATCH[:2], BATCH[1:], IMAGES[1:2], BATCH, IMAGES[1:2], BATCH[:2]]
    alone = [engine.extract(batch) for batch in batches]
    canvases = [engine.canvas(batch) for batch in batches]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(engine.extract, batches, canvases))
    for expected, found in zip(alone, together, strict=True):
        for one, other in zip(expected, found, strict=True):
            assert np.array_equal(one.iuv, other.iuv)
            assert np.array_equal(one.box, other.box)
            assert one.score == other.score


def test_bf16_detects_the_same_person(device: torch.device, checkpoint: Path, reference: NativeEngine) -> None:
    engine = NativeEngine(checkpoint, device.type, "bf16", recipe=SMALL)
    (rough,), (exact,) = engine.extract(IMAGES[2:]), reference.extract(IMAGES[2:])
    assert rough.status == exact.status
    assert rough.score == pytest.approx(exact.score, abs=0.02)
