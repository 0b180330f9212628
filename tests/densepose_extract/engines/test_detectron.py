"""The two engines against each other where detectron2 is installed; a clear message where it is not."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from densepose_extract import network
from densepose_extract.engines.detectron import DetectronEngine, build
from densepose_extract.engines.native import NativeEngine
from densepose_extract.recipe import Recipe
from detectron2_reference import golden
from dsa_app.errors import EngineError


@pytest.mark.parametrize("missing", ["detectron2", "densepose"])
def test_a_missing_package_is_named_with_the_commands_to_install_it(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(EngineError, match=r"not installed.*--engine native") as caught:
        DetectronEngine("R_50_FPN_s1x")
    commands = [line for line in str(caught.value).splitlines() if "github.com/facebookresearch/detectron2" in line]
    assert len(commands) == 2
    assert all(line.strip().startswith("pip install --no-build-isolation") for line in commands)


def sample_images() -> list[np.ndarray]:
    """Photographs, noise, and odd shapes."""
    rng = np.random.default_rng(0)
    shapes = [(128, 64), (90, 200), (1, 1), (3, 300)]
    photographs = [each["image"] for each in golden("R_50_FPN_s1x")]
    return photographs + [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in shapes]


@pytest.mark.detectron2
@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(min_size=64, max_size=256),
        Recipe(min_size=96, max_size=200, detections=2, proposals=50, score_threshold=0.999),
        Recipe(min_size=64, max_size=256, score_threshold=0.999, missing="none"),
    ],
    ids=["found", "fallback", "none"],
)
def test_engines_agree(checkpoint: Path, recipe: Recipe) -> None:
    pytest.importorskip("detectron2")
    pytest.importorskip("densepose")
    ours, theirs = NativeEngine(checkpoint, recipe=recipe), DetectronEngine(checkpoint, recipe=recipe)
    assert ours.identity | {"engine": "detectron2"} == theirs.identity
    images = sample_images()
    sizes = [(image.shape[0], image.shape[1]) for image in images]
    assert ours.batches(sizes) == theirs.batches(sizes)
    for indices in ours.batches(sizes):
        batch = [images[index] for index in indices]
        for mine, reference in zip(ours.extract(batch), theirs.extract(batch), strict=True):
            assert mine.status == reference.status
            assert mine.score == pytest.approx(reference.score, abs=1e-4)
            np.testing.assert_allclose(mine.box, reference.box, atol=1e-2)
            same = mine.iuv[..., 0] == reference.iuv[..., 0]
            assert (~same).mean() <= 1e-3
            assert np.abs(mine.iuv[same].astype(int) - reference.iuv[same]).max() <= 1


@pytest.mark.detectron2
@pytest.mark.parametrize("model", ["R_50_FPN_WC1_s1x", "R_50_FPN_DL_WC2M_s1x"])
def test_models_with_confidence_are_detectron2s(model: str) -> None:
    """Names and shapes of every entry; the outputs are those of the fixtures (test_network.py)."""
    pytest.importorskip("detectron2")
    pytest.importorskip("densepose")
    theirs = build(model, Recipe(), torch.device("cpu")).state_dict()
    with torch.device("meta"):
        ours = network.build(model).state_dict()
    assert {name: x.shape for name, x in ours.items()} == {name: x.shape for name, x in theirs.items()}
