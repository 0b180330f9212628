"""The native engine: order, batches, the fallback, odd images, and its identity."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from densepose_extract.engines.engine import Engine, PreparesAhead
from densepose_extract.engines.native import NativeEngine, detect, heads_in
from densepose_extract.engines.placing import iuv_map, place_map
from densepose_extract.network import DensePoseRCNN
from densepose_extract.recipe import Recipe
from densepose_extract.select import choose
from detectron2_reference import golden
from dsa_app.errors import EngineError, ImageError

SMALL = Recipe(min_size=64, max_size=256, batch=4)
IMAGES = [each["image"] for each in golden("R_50_FPN_s1x")]


@pytest.fixture(scope="module")
def engine(checkpoint: Path) -> NativeEngine:
    return NativeEngine(checkpoint, recipe=SMALL)


def with_recipe(engine: NativeEngine, monkeypatch: pytest.MonkeyPatch, **changes: object) -> NativeEngine:
    """Change an engine's recipe for one test; reading the checkpoint again would take seconds."""
    values = {name: getattr(SMALL, name) for name in ("min_size", "max_size", "batch")} | changes
    monkeypatch.setattr(engine, "recipe", Recipe(**values))
    return engine


def test_results_come_in_order_whatever_the_batch(network: DensePoseRCNN) -> None:
    images = [IMAGES[0], IMAGES[1], IMAGES[0][::-1].copy(), IMAGES[0][:, ::-1].copy()]
    together = detect(network, images, min_size=64, max_size=256, detections=1)
    for image, detected in zip(images, together, strict=True):
        (alone,) = detect(network, [image], min_size=64, max_size=256, detections=1)
        torch.testing.assert_close(detected.boxes, alone.boxes, atol=1e-3, rtol=0)
        torch.testing.assert_close(detected.scores, alone.scores, atol=1e-5, rtol=0)
        torch.testing.assert_close(detected.fine_segm, alone.fine_segm, atol=1e-3, rtol=0)


def test_limits_limit(network: DensePoseRCNN) -> None:
    (many,) = detect(network, IMAGES[:1], min_size=64, max_size=256)
    assert len(many.boxes) == len(many.scores) == len(many.u) == 5
    assert (many.scores.diff() <= 0).all()
    (one,) = detect(network, IMAGES[:1], min_size=64, max_size=256, detections=1)
    torch.testing.assert_close(one.boxes, many.boxes[:1], atol=1e-3, rtol=0)
    (few,) = detect(network, IMAGES[:1], min_size=64, max_size=256, score_threshold=float(many.scores[1]) + 1e-4)
    assert len(few.boxes) == 1
    (none,) = detect(network, IMAGES[:1], min_size=64, max_size=256, score_threshold=0.999)
    assert none.boxes.shape == (0, 4)
    assert none.coarse_segm.shape == (0, 2, 112, 112)
    assert len(detect(network, IMAGES[:1], min_size=64, max_size=256, proposals=1)[0].boxes) == 1
    assert detect(network, []) == []


def test_heads_in_a_detected_box_are_the_detections(network: DensePoseRCNN) -> None:
    (detected,) = detect(network, IMAGES[:1], min_size=64, max_size=256, detections=2)
    (heads,) = heads_in(network, IMAGES[:1], [detected.boxes], min_size=64, max_size=256)
    torch.testing.assert_close(heads.fine_segm, detected.fine_segm, atol=1e-3, rtol=0)
    torch.testing.assert_close(heads.u, detected.u, atol=1e-3, rtol=0)


def test_extract_is_detect_choose_and_place_map(engine: NativeEngine, network: DensePoseRCNN) -> None:
    for image in IMAGES[:2]:
        height, width = image.shape[:2]
        (answer,) = engine.extract([image])
        (detected,) = detect(network, [image], min_size=64, max_size=256)
        index = choose(detected.boxes.numpy(), detected.scores.numpy(), height, width)
        assert index is not None
        assert answer.status == "found"
        assert answer.score == pytest.approx(float(detected.scores[index]), abs=1e-4)
        np.testing.assert_allclose(answer.box, detected.boxes[index], atol=1e-2)
        want = iuv_map(detected, index, height, width)
        assert answer.iuv.shape == (height, width, 3)
        assert (answer.iuv[..., 0] != want[..., 0]).mean() <= 1e-3
        assert np.abs(answer.iuv.astype(int) - want)[answer.iuv[..., 0] == want[..., 0]].max() <= 1


def test_without_a_detected_person_the_whole_crop_is_the_box(
    engine: NativeEngine, network: DensePoseRCNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = with_recipe(engine, monkeypatch, score_threshold=0.999)
    (answer,) = strict.extract(IMAGES[:1])
    assert (answer.status, answer.score, answer.box.tolist()) == ("fallback", 0, [0, 0, 64, 128])
    (heads,) = heads_in(network, IMAGES[:1], [answer.box[None]], min_size=64, max_size=256)
    want = place_map(heads, 0, torch.from_numpy(answer.box), 128, 64)
    assert (answer.iuv[..., 0] != want[..., 0]).mean() <= 1e-3
    assert answer.iuv.any()


def test_without_a_detected_person_the_map_is_empty_if_configured(
    engine: NativeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = with_recipe(engine, monkeypatch, score_threshold=0.999, missing="none")
    (answer,) = strict.extract(IMAGES[:1])
    assert (answer.status, answer.score) == ("none", 0)
    assert np.isnan(answer.box).all()
    assert answer.iuv.shape == IMAGES[0].shape
    assert not answer.iuv.any()


def test_a_batch_mixes_detected_and_not_detected(engine: NativeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = [IMAGES[0], np.zeros_like(IMAGES[0])]
    alone = [engine.extract([image])[0] for image in pair]
    between = sum(answer.score for answer in alone) / 2
    strict = with_recipe(engine, monkeypatch, score_threshold=between, missing="none")
    answers = [strict.extract([image])[0] for image in pair]
    assert sorted(answer.status for answer in answers) == ["found", "none"]
    for together, answer in zip(strict.extract(pair), answers, strict=True):
        assert together.status == answer.status
        assert (together.iuv[..., 0] != answer.iuv[..., 0]).mean() <= 1e-3


def test_a_batch_gives_the_same_bytes_again(engine: NativeEngine) -> None:
    batch = [IMAGES[0], IMAGES[0][::-1].copy()]
    for first, second in zip(engine.extract(batch), engine.extract(batch), strict=True):
        assert np.array_equal(first.iuv, second.iuv)
        assert np.array_equal(first.box, second.box)
        assert first.score == second.score


def test_images_prepared_ahead_give_the_same_bytes(engine: NativeEngine) -> None:
    batch = [IMAGES[0], IMAGES[0][::-1].copy()]
    assert isinstance(engine, PreparesAhead)
    for now, ahead in zip(engine.extract(batch), engine.extract(batch, engine.canvas(batch)), strict=True):
        assert np.array_equal(now.iuv, ahead.iuv)
        assert np.array_equal(now.box, ahead.box)


def test_batches_in_flight_give_the_same_bytes_and_restore_the_flags(
    engine: NativeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Threads that compute at the same time: the first to end must not change the arithmetic of the other."""
    batches = [[IMAGES[0]], [IMAGES[0][::-1].copy()], [IMAGES[0][:, ::-1].copy()], [IMAGES[0]]]
    alone = [engine.extract(batch)[0] for batch in batches]
    seen, both = [], threading.Barrier(2, timeout=60)
    surface = engine.network.surface

    def watched(*args: Any) -> Any:
        both.wait()
        seen.append((torch.backends.cudnn.deterministic, torch.is_grad_enabled()))
        return surface(*args)

    monkeypatch.setattr(engine.network, "surface", watched)
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32
    with ThreadPoolExecutor(2) as pool:
        together = [found for (found,) in pool.map(engine.extract, batches)]
    assert seen == [(True, False)] * 4
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.allow_tf32) == before
    for first, second in zip(alone, together, strict=True):
        assert np.array_equal(first.iuv, second.iuv)
        assert np.array_equal(first.box, second.box)
    assert engine.in_flight == 1  # on a CPU


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (2, 3), (1500, 1100)])
def test_odd_images_get_maps(engine: NativeEngine, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    (answer,) = engine.extract([image])
    assert answer.iuv.shape == (*shape, 3)
    assert answer.iuv[..., 0].max() <= 24
    assert answer.status in ("found", "fallback")
    assert not answer.iuv[answer.iuv[..., 0] == 0].any()


def test_other_arrays_are_refused(engine: NativeEngine) -> None:
    with pytest.raises(ImageError, match="float64"):
        engine.extract([np.zeros((8, 4, 3))])


def test_identity_is_plain_and_holds_all_that_decides_the_bytes(engine: NativeEngine) -> None:
    identity = engine.identity
    assert json.loads(json.dumps(identity)) == identity
    assert identity["engine"] == "native"
    assert identity["model"] == "R_50_FPN_s1x"
    assert len(identity["checkpoint"]) == 64
    assert (
        identity | {"min_size": 64, "batch": 4, "precision": "fp32", "device": "cpu", "missing": "fallback"} == identity
    )


def test_batches_are_by_size(engine: NativeEngine) -> None:
    batches = engine.batches([(128, 64), (64, 128), (128, 64), (126, 63)])
    assert batches == [[1], [0, 2, 3]]
    assert len(engine.batches([(128, 64)] * 9)[0]) == 4


def test_it_is_an_engine(engine: NativeEngine) -> None:
    engines: list[Engine] = [engine]
    assert engines[0].name == "native"


def test_bf16_detects_the_same_person(checkpoint: Path, engine: NativeEngine) -> None:
    half = NativeEngine(checkpoint, precision="bf16", recipe=SMALL)
    assert half.identity["precision"] == "bf16"
    (rough,), (exact,) = half.extract(IMAGES[2:]), engine.extract(IMAGES[2:])
    assert rough.status == exact.status
    assert rough.score == pytest.approx(exact.score, abs=0.02)


def test_unknown_precision_and_device_are_named(checkpoint: Path) -> None:
    with pytest.raises(EngineError, match=r"native has no precision 'fp8', expected one of: fp32, bf16"):
        NativeEngine(checkpoint, precision="fp8")
    with pytest.raises(EngineError, match="Device 'abacus' cannot be used"):
        NativeEngine(checkpoint, device="abacus")


def test_with_confidence_the_maps_are_the_same_and_say_how_sure_they_are(
    checkpoint: Path, engine: NativeEngine
) -> None:
    sure = NativeEngine(checkpoint, recipe=SMALL, confidence=True)
    for plain, stated in zip(engine.extract(IMAGES[:2]), sure.extract(IMAGES[:2]), strict=True):
        assert (plain.iuv == stated.iuv).all()
        assert plain.confidence is None
        assert stated.confidence is not None
        assert stated.confidence.shape == stated.iuv.shape[:2]
        assert 0 < stated.confidence.min() < 255
    assert sure.identity == engine.identity | {"confidence": "pixels"}
