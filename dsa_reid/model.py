"""The model file: the main stream's weights with all that is needed to use them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pickle
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from .crops import Crop, as_rgb
from .distances import join
from .errors import ModelError
from .main_stream import MainStream, MainStreamConfig
from .preprocessing import Preprocessing

FORMAT = "dsa-reid model"
VERSION = 1


class Model:
    """A trained main stream, ready for use.

    Attributes:
        main_stream: the network, in evaluation mode.
        preprocessing: what `embed` does to a crop first.
        device: where the network is.
    """

    def __init__(self, main_stream: MainStream, preprocessing: Preprocessing, device: torch.device) -> None:
        self.main_stream = main_stream.eval().to(device)
        self.preprocessing = preprocessing
        self.device = device

    @property
    def dimensions(self) -> int:
        """D, the length of a feature: 4096 for the paper's network."""
        heads = 2 if self.main_stream.config.heads == "both" else 1
        return heads * self.main_stream.feature_width

    @torch.inference_mode()
    def embed(self, crops: Iterable[Crop], batch_size: int = 64) -> torch.Tensor:
        """Compute the features of crops of people, of any sizes, mixed as you like.

        Args:
            crops: paths, uint8 arrays (H, W, 3), uint8 tensors (3, H, W) or PIL pictures, all RGB.
            batch_size: crops that go through the network together.

        Returns:
            float32 (N, D) on the CPU: f_G and f_L, each of length one, side by side. Compare them by `distances`.

        Raises ModelError for a crop that is not a picture.
        """
        found = [torch.empty(0, self.dimensions)]
        for batch in _batches(crops, batch_size):
            images = torch.stack([self.preprocessing.resize(as_rgb(crop)) for crop in batch])
            features = self.main_stream(self.preprocessing.normalise(images.to(self.device)))
            found.append(join(*features).cpu())
        return torch.cat(found)


def save(main_stream: MainStream, path: str | os.PathLike[str], preprocessing: Preprocessing) -> Path:
    """Write the model file, whole or not at all; the same weights give the same bytes. Returns its path."""
    path = Path(path)
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": dataclasses.asdict(main_stream.config),
        "preprocessing": dataclasses.asdict(preprocessing),
        "state": {key: value.detach().cpu().contiguous() for key, value in main_stream.state_dict().items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:  # given a path, torch writes its name into the file
        torch.save(content, file)
    return part.replace(path)


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Model:
    """Read a model file.

    Raises ModelError if it is missing, damaged, of a newer version, no model, or holds anything but weights (code
    in it is never run), and if there is no such device.
    """
    path = Path(path)
    content = _read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path} is not a model of dsa-reid. Give the model.pt that `dsa-train run` wrote.")
    if content.get("version") != VERSION:
        raise ModelError(
            f"{path} is of version {content.get('version')}, this dsa_reid reads version {VERSION}. "
            "Install the dsa-reid that wrote it, or a newer one."
        )
    try:
        with torch.device("meta"):  # neither time nor random numbers for weights that are replaced
            main_stream = MainStream(MainStreamConfig(**content["config"]))
        main_stream.load_state_dict(content["state"], assign=True)
        preprocessing = Preprocessing(**content["preprocessing"])
    except (KeyError, TypeError, RuntimeError, ModelError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} contradicts itself ({reason}). Write it again: dsa-train run.") from None
    return Model(main_stream, preprocessing, _device(device))


def _read(path: Path) -> Any:
    """Read a file of weights, checking every byte of it."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"{damaged} has other bytes than were written")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Name the model.pt of a training run.") from None
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path} holds more than weights: it was refused, and no code in it was run. Use a file you trust."
        ) from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} is cut short, damaged or no model ({reason}). Copy it again.") from None


def _device(name: str | torch.device) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"device {str(name)!r} cannot be used here: {reason}. Use 'cpu'.") from None
    return device


def _batches(crops: Iterable[Crop], size: int) -> Iterator[list[Crop]]:
    if size < 1:
        raise ModelError(f"batch_size = {size} does not hold: expected 1 or more.")
    crops = iter(crops)
    while batch := list(itertools.islice(crops, size)):
        yield batch
