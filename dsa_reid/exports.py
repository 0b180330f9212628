"""Export of the network for other programs: ONNX or torch.export, any batch size, with its preprocessing stated."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from .atomic import write_atomic
from .crops import Crop
from .errors import ModelError, NotInstalledError
from .extras import install_command
from .metric import join
from .model import Model
from .program import load_program
from .reading import batches

Where = Literal["inside", "outside"]
FORMAT = "dsa-reid export"
KEY = "dsa_reid"  # of the metadata in an ONNX file; torch.export keeps it as dsa_reid.json
TOLERANCE = 1e-4
EXAMPLE = 4  # images that the network is traced with; 0 and 1 would be traced as constants


class Deployed(nn.Module):
    """The main stream from images to joined features, with or without normalisation.

    Forward maps uint8 RGB (B, height, width, 3), if normalisation is inside, or float32 (B, 3, height, width) from
    `Preprocessing.normalise`, to float32 (B, D), f_G and f_L of length one each.
    """

    def __init__(self, model: Model, normalise: Where) -> None:
        super().__init__()
        self.main_stream = model.main_stream
        self.preprocessing = model.preprocessing
        self.inside = normalise == "inside"

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map B images to B features."""
        return join(*self.main_stream(self.preprocessing.normalise(images) if self.inside else images))


class Exported(NamedTuple):
    """An exported network, ready to run.

    Attributes:
        run: maps NumPy images, as `about["input"]` says, to float32 (B, D).
        about: the metadata in the file.
    """

    run: Callable[[np.ndarray], np.ndarray]
    about: dict[str, Any]


class Check(NamedTuple):
    """How far the features of an exported network are from those of PyTorch.

    Attributes:
        difference: greatest absolute difference of a value.
        images: how many were compared.
    """

    difference: float
    images: int

    @property
    def passed(self) -> bool:
        """Whether no value differs by more than 1e-4."""
        return self.difference <= TOLERANCE

    @property
    def pictures(self) -> int:
        """Deprecated name of `images`."""
        return self.images


def export(model: Model, path: str | os.PathLike[str], normalise: Where = "inside") -> Path:
    """Write the network for other programs; return the path.

    Args:
        model: on the CPU.
        path: ends in .onnx for ONNX, in .pt2 for torch.export.
        normalise: "inside" the graph, which then takes uint8 RGB (B, height, width, 3), or "outside": it takes
            normalised float32 (B, 3, height, width). Either way the file states which, with size, mean and deviation.

    Raises ModelError for another ending, if a package that ONNX needs is not installed, or if a timm trunk cannot be
    exported.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise ModelError(f"{path}: expected a name that ends in .onnx (ONNX) or .pt2 (torch.export).")
    network = Deployed(model, normalise).eval()
    example = _input(model, normalise, torch.zeros(EXAMPLE, *_size(model), 3, dtype=torch.uint8))
    about = json.dumps(_about(model, normalise), sort_keys=True)
    made = io.BytesIO()
    if path.suffix == ".onnx":
        _require("onnx", "onnxscript")
    try:
        with torch.no_grad():
            (_write_onnx if path.suffix == ".onnx" else _write_program)(network, example, about, made)
    except Exception as error:  # torch has no common class for errors of its exporters
        reason = str(error).strip().splitlines()[0]
        raise ModelError(
            f"The trunk {model.main_stream.config.trunk} cannot be exported to {path.suffix}: {reason}. Try the other "
            "format, .onnx or .pt2."
        ) from None
    return write_atomic(path, made.getbuffer())


def load_exported(path: str | os.PathLike[str]) -> Exported:
    """Load a file that `export` wrote, on the CPU. Raises ModelError if it cannot be read or is another file."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path} does not exist. Write it: dsa-train export.")
    return _load_onnx(path) if path.suffix == ".onnx" else _load_program(path)


def check(model: Model, path: str | os.PathLike[str], pictures: Iterable[Crop] = (), batch: int = 8) -> Check:
    """Compare an exported network with the model: on random images, then on given crops, in batches of several sizes.

    Args:
        model: the one that was exported, on the CPU.
        pictures: crops, as for `Model.embed`.
        batch: the largest batch.

    Raises ModelError if the file was exported from another model.
    """
    exported = load_exported(path)
    if exported.about["model"] != model.digest:
        raise ModelError(
            f"{path} was exported from the model {exported.about['model'][:12]}, not from {model.digest[:12]}. "
            "Name that model, or export this one: dsa-train export."
        )
    generator = torch.Generator().manual_seed(0)
    random_images = (
        torch.randint(0, 256, (count, *_size(model), 3), dtype=torch.uint8, generator=generator)
        for count in (1, 3, batch)
    )
    difference, count = 0.0, 0
    for source in (random_images, batches(pictures, model.preprocessing, batch)):
        for images in source:
            features = exported.run(_input(model, exported.about["normalise"], images).numpy())
            difference = max(difference, float(np.abs(features - model.features(images).numpy()).max()))
            count += len(images)
    return Check(difference, count)


def _about(model: Model, normalise: Where) -> dict[str, Any]:
    height, width = _size(model)
    shapes = {"inside": f"uint8 RGB (B, {height}, {width}, 3)", "outside": f"float32 RGB (B, 3, {height}, {width})"}
    return {
        "format": FORMAT,
        "version": 1,
        "model": model.digest,
        "input": shapes[normalise],
        "normalise": normalise,
        "resize": "bilinear, averaging where it shrinks, to the size of the input",
        "mean": list(model.preprocessing.mean),  # of colours in 0..1
        "std": list(model.preprocessing.std),
        "output": f"float32 (B, {model.dimensions}): parts of length one each, compared by Euclidean distance",
        "parts": model.parts,
    }


def _size(model: Model) -> tuple[int, int]:
    return model.preprocessing.height, model.preprocessing.width


def _input(model: Model, normalise: Where, images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (B, height, width, 3) into what the exported network takes."""
    return images if normalise == "inside" else model.preprocessing.normalise(images)


def _write_program(network: nn.Module, example: torch.Tensor, about: str, file: io.BytesIO) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    # Stack traces name the files of this machine: the same weights would give other bytes elsewhere.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, file, extra_files={f"{KEY}.json": about})


def _write_onnx(network: nn.Module, example: torch.Tensor, about: str, file: io.BytesIO) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # the exporter prints its progress
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["features"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),  # any batch; height and width are fixed
            verbose=False,
        )
    assert program is not None, "the dynamo exporter returns a program"
    for node in program.model.graph:
        node.metadata_props.clear()  # stack traces with the paths of this machine
    program.model.metadata_props[KEY] = about
    # deterministic: protobuf promises no order of map fields otherwise
    file.write(program.model_proto.SerializeToString(deterministic=True))


def _load_onnx(path: Path) -> Exported:
    runtime = _require("onnxruntime")
    try:
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no other common class
        raise ModelError(f"{path} cannot be read: {str(error).splitlines()[0]}. Export it again.") from None
    about = _stated(path, session.get_modelmeta().custom_metadata_map.get(KEY))
    return Exported(lambda images: session.run(None, {"images": images})[0], about)


def _load_program(path: Path) -> Exported:
    network, about = load_program(path, f"{KEY}.json")
    return Exported(lambda images: network(torch.from_numpy(images)).detach().numpy(), _stated(path, about))


def _stated(path: Path, about: str | None) -> dict[str, Any]:
    stated = json.loads(about) if about else {}
    if stated.get("format") != FORMAT:
        raise ModelError(f"{path} is not an export of dsa-reid: no metadata. Export it again: dsa-train export.")
    return stated


def _require(*modules: str) -> Any:
    """Import modules and return the first. Raises NotInstalledError if one is not installed."""
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise NotInstalledError(f"{error.name} is not installed. Install it: {install_command('export')}") from None
    return first
