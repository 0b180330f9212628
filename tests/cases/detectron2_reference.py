"""Reproducible random weights, and detectron2's outputs for them (see fixtures/README.md)."""

import importlib.util
import json
from functools import cache
from pathlib import Path

import numpy as np

FIXTURES = Path(__file__).parents[1] / "densepose_extract" / "fixtures"


def shapes(model: str) -> dict[str, tuple[int, ...]]:
    """Return name and shape of every entry of detectron2's state dict."""
    text = (FIXTURES / f"state_dict_{model}.json").read_text()
    return {name: tuple(shape) for name, shape in json.loads(text).items()}


@cache
def _recipe() -> object:
    spec = importlib.util.spec_from_file_location("weights", FIXTURES / "weights.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.draw


def entries(model: str) -> dict[str, np.ndarray]:
    """Return the random value of every entry of a model."""
    draw = _recipe()
    return {name: draw(name, shape) for name, shape in shapes(model).items()}


def golden(model: str) -> list[dict[str, np.ndarray]]:
    """Return detectron2's outputs, one dictionary an image, without the image's number in the names."""
    with np.load(FIXTURES / f"golden_{model}.npz") as file:
        values = {name: file[name] for name in file.files}
    count = sum(name.startswith("image") for name in values)
    return [{name[:-1]: value for name, value in values.items() if name[-1] == str(n)} for n in range(count)]
