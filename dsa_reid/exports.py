"""Export of the network for other programs: ONNX or torch.export, any batch size, with its preprocessing stated."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from .atomic import write_atomic
from .crops import Crop, as_rgb, numbered
from .errors import ModelError, NotInstalledError
from .extras import install_command
from .graph_resize import Resize
from .guard import guarded, reason
from .metric import join
from .model import Model
from .onnx_file import onnx_metadata
from .program import load_program
from .reading import batches
from .torch_state import own_torch_state

Where = Literal["inside", "outside"]
FORMAT = "dsa-reid export"
KEY = "dsa_reid"  # of the metadata in an ONNX file; torch.export keeps it as dsa_reid.json
VERSION = 2  # 1 had no resize inside
METHOD = "bilinear, antialiased: columns first, then rows, each rounded to 8 bits; triangle filter of Pillow and torch"
TOLERANCE = 1e-4
EXAMPLE = 4  # images that the network is traced with; 0 and 1 would be traced as constants


class Deployed(nn.Module):
    """The main stream from images to joined features, with or without resizing and normalisation.

    Forward maps images to float32 (B, D), f_G and f_L of length one each. The images are uint8 RGB (B, H, W, 3) of any
    size if resizing is inside; uint8 RGB (B, height, width, 3) if normalising alone is; float32 (B, 3, height, width)
    as `Preprocessing.normalise` makes it if neither is. With `visibility` a second result is float32 (B, 8), the
    visibilities of the regions.
    """

    def __init__(self, model: Model, normalise: Where, resize: Where, visibility: bool = False) -> None:
        super().__init__()
        self.main_stream = model.main_stream
        self.preprocessing = model.preprocessing
        self.inside = normalise == "inside"
        self.resize = Resize(*_size(model)) if resize == "inside" else None
        self.visibility = visibility

    def forward(self, images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Map B images to B features."""
        if self.resize is not None:
            images = self.preprocessing.normalise_planes(self.resize(images))
        elif self.inside:
            images = self.preprocessing.normalise(images)
        if self.visibility:
            features, seen = self.main_stream.with_visibility(images)
            return join(*features), seen
        return join(*self.main_stream(images))


class Exported(NamedTuple):
    """An exported network, ready to run.

    Attributes:
        run: maps NumPy images, as `about["input"]` says, to float32 (B, D), or (B, D + 8) for an export with the
            visibilities of the regions.
        about: the metadata in the file.
    """

    run: Callable[[np.ndarray], np.ndarray]
    about: dict[str, Any]


class Check(NamedTuple):
    """How far the features of an exported network are from those of `Model.embed`.

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


def export(
    model: Model,
    path: str | os.PathLike[str],
    normalise: Where = "inside",
    resize: Where | None = None,
    visibility: bool = False,
) -> Path:
    """Write the network for other programs; return the path.

    Args:
        model: on the CPU.
        path: ends in .onnx for ONNX, in .pt2 for torch.export.
        normalise: "inside" the graph, which then takes uint8 RGB, or "outside": it takes normalised float32
            (B, 3, height, width).
        resize: "inside" the graph, which then takes uint8 (B, H, W, 3) of any size and resizes as `Model.embed` does,
            or "outside": it takes images of the network's size. If None, where normalising is. The file states both.
        visibility: give the visibilities of the eight regions too, a second output, "visibility".

    Raises ModelError for another ending, for a resize inside with normalisation outside, if a package that ONNX needs
    is not installed, or if a timm trunk cannot be exported.
    """
    path = Path(path)
    if path.suffix not in (".onnx", ".pt2"):
        raise ModelError(f"{path}: expected a name that ends in .onnx (ONNX) or .pt2 (torch.export).")
    resize = resize or normalise
    if (normalise, resize) == ("outside", "inside"):
        raise ModelError(
            "Images are resized before they are normalised: with normalise='outside', resize='outside' too."
        )
    if path.suffix == ".onnx":
        _require("onnx", "onnxscript")
    if visibility:
        model.check_visibility()
    about = json.dumps(_about(model, normalise, resize, visibility), sort_keys=True)
    made = io.BytesIO()
    try:
        with own_torch_state(), torch.no_grad():
            network = Deployed(model, normalise, resize, visibility).eval()
            example = _input(normalise, model, torch.zeros(EXAMPLE, *_size(model), 3, dtype=torch.uint8))
            free = ("batch", "height", "width") if resize == "inside" else ("batch",)
            shapes = {axis: torch.export.Dim(name) for axis, name in enumerate(free)}
            write = _write_onnx if path.suffix == ".onnx" else _write_program
            write(network, example, shapes, about, made)
    except Exception as error:  # torch has no common class for errors of its exporters
        root: BaseException = error
        while root.__cause__ is not None:  # what it says first is only where it was
            root = root.__cause__
        raise ModelError(
            f"The trunk {model.main_stream.config.trunk} cannot be exported to {path.suffix}: {reason(root)}. Try the "
            "other format, .onnx or .pt2."
        ) from None
    return write_atomic(path, made.getbuffer())


def load_exported(path: str | os.PathLike[str]) -> Exported:
    """Load a file that `export` wrote, on the CPU. Raises ModelError if it cannot be read or is another file."""
    path = Path(path)
    if not path.is_file():
        raise ModelError(f"{path} does not exist. Write it: dsa-train export FILE --model MODEL.")
    return _load_onnx(path) if path.suffix == ".onnx" else _load_program(path)


def check(model: Model, path: str | os.PathLike[str], pictures: Iterable[Crop] = (), batch: int = 8) -> Check:
    """Compare an exported network with `Model.embed`: on random images, then on given crops.

    A network that resizes gets images of many sizes, and each crop at its own size. Another network gets images that
    are resized first, in batches.

    Args:
        model: the one that was exported, on the CPU.
        pictures: crops, as for `Model.embed`.
        batch: the largest batch.

    Raises ModelError if the file was exported from another model, or fails on an image.
    """
    exported = load_exported(path)
    if exported.about["model"] != model.digest:
        raise ModelError(
            f"{path} was exported from the model {exported.about['model'][:12]}, not from {model.digest[:12]}. "
            "Name that model, or export this one: dsa-train export FILE --model MODEL."
        )
    worst, seen = 0.0, 0
    for images in _images(model, exported.about["resize"], pictures, batch):
        ours = model.embed(images.numpy(), batch, visibility=bool(exported.about.get("visibility"))).numpy()
        with (
            guarded(path, "fails on an image", "Export it again: dsa-train export FILE --model MODEL."),
            own_torch_state(),
        ):
            theirs = exported.run(_input(exported.about["normalise"], model, images).numpy())
        if theirs.shape != ours.shape or not np.isfinite(theirs).all():
            return Check(np.inf, seen)
        worst = max(worst, float(np.abs(theirs - ours).max()))
        seen += len(images)
    return Check(worst, seen)


def _images(model: Model, resize: Where, pictures: Iterable[Crop], batch: int) -> Iterator[torch.Tensor]:
    """Yield batches of random images, then the crops, uint8 (B, H, W, 3)."""
    height, width = _size(model)
    sizes = [(height, width)]
    if resize == "inside":  # larger and smaller, of either side alone, odd, and a single pixel
        sizes += [(2 * height, 3 * width), (height // 2 + 1, width // 2 + 1), (height + 7, max(1, width // 3)), (1, 1)]
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        for count in (1, 3, batch):
            yield torch.randint(0, 256, (count, *size, 3), dtype=torch.uint8, generator=generator, device="cpu")
    if resize == "outside":
        yield from batches(pictures, model.preprocessing, batch)
    else:
        yield from (as_rgb(*one)[None] for one in numbered(pictures))


def _about(model: Model, normalise: Where, resize: Where, visibility: bool) -> dict[str, Any]:
    height, width = _size(model)
    shape = "(B, H, W, 3)" if resize == "inside" else f"(B, {height}, {width}, 3)"
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": model.digest,
        "input": f"uint8 RGB {shape}" if normalise == "inside" else f"float32 RGB (B, 3, {height}, {width})",
        "normalise": normalise,
        "resize": resize,
        "resize_method": METHOD,
        "height": height,
        "width": width,
        "mean": list(model.preprocessing.mean),  # of colours in 0..1
        "std": list(model.preprocessing.std),
        "output": f"float32 (B, {model.dimensions}): parts of length one each, compared by Euclidean distance",
        "parts": model.parts,
        **({"visibility": "float32 (B, 8), 0 to 1, of each region: the second output"} if visibility else {}),
        **_cameras(model),
        **({"calibration": model.calibration.written()} if model.calibration else {}),
        **({"visible_calibration": seen.written()} if visibility and (seen := model.visible_calibration) else {}),
    }


def _cameras(model: Model) -> dict[str, str]:
    """Return what an export says of the camera, for a model with an embedding of it: images are its only input."""
    config = model.main_stream.config
    added = {"mean": "the mean embedding of the training's cameras", "zero": "no embedding of the camera"}
    return {"camera": f"unknown: {added[config.unknown_camera]}"} if config.sie else {}


def _size(model: Model) -> tuple[int, int]:
    return model.preprocessing.height, model.preprocessing.width


def _input(normalise: Where, model: Model, images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (B, H, W, 3) into what the exported network takes."""
    return images if normalise == "inside" else model.preprocessing.normalise(images)


def _write_program(
    network: nn.Module, example: torch.Tensor, shapes: dict[int, Any], about: str, file: io.BytesIO
) -> None:
    program = torch.export.export(network, (example,), dynamic_shapes=(shapes,))
    # Stack traces name the files of this machine: the same weights would give other bytes elsewhere.
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, file, extra_files={f"{KEY}.json": about})


def _write_onnx(
    network: nn.Module, example: torch.Tensor, shapes: dict[int, Any], about: str, file: io.BytesIO
) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # the exporter prints its progress
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=["images"],
            output_names=["features", "visibility"] if getattr(network, "visibility", False) else ["features"],
            dynamic_shapes=(shapes,),  # any batch, and any size if the resize is inside
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
    with guarded(path, "cannot be read", "Export it again: dsa-train export FILE --model MODEL."):
        data = path.read_bytes()
        about = _stated(path, onnx_metadata(data).get(KEY, ""))
        session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return Exported(lambda images: np.concatenate(session.run(None, {"images": images}), axis=1), about)


def _load_program(path: Path) -> Exported:
    with guarded(path, "cannot be read", "Export it again: dsa-train export FILE --model MODEL."):
        network, text = load_program(path, f"{KEY}.json")
        about = _stated(path, text)

    def run(images: np.ndarray) -> np.ndarray:
        made = network(torch.from_numpy(images))
        return (torch.cat(made, dim=1) if isinstance(made, tuple | list) else made).detach().numpy()

    return Exported(run, about)


def _stated(path: Path, text: str) -> dict[str, Any]:
    """Return the metadata of a file, as of version 2. Raises ModelError if there is none, or if it is newer."""
    about = json.loads(text) if text else None
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise ModelError(
            f"{path} is not an export of dsa-reid: no metadata. Export it again: dsa-train export FILE --model MODEL."
        )
    if about.get("version") not in (1, VERSION):
        raise ModelError(
            f"{path} has version {str(about.get('version'))[:40]}, this dsa_reid reads up to {VERSION}. Install the "
            "dsa-reid that wrote it, or export again."
        )
    if about["version"] == 1:  # its resize was always outside, and described in a sentence
        about["resize"] = "outside"
    if not isinstance(about["model"], str) or not {about["normalise"], about["resize"]} <= {"inside", "outside"}:
        raise ModelError(
            f"{path} contradicts itself in model, normalise or resize. Export it again: dsa-train export FILE --model "
            "MODEL."
        )
    return about


def _require(*modules: str) -> Any:
    """Import modules and return the first. Raises NotInstalledError if one is not installed."""
    try:
        first, *_ = [importlib.import_module(module) for module in modules]
    except ImportError as error:
        raise NotInstalledError(f"{error.name} is not installed. Install it: {install_command('export')}") from None
    return first
