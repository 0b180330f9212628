"""The model file: the main stream's weights, its configuration and its preprocessing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from .atomic import write_atomic
from .config import MainStreamConfig
from .crops import Crop
from .device import usable_device
from .errors import ModelError, NotInstalledError
from .main_stream import MainStream
from .metric import join
from .preprocessing import Preprocessing
from .reading import batches

FORMAT = "dsa-reid model"
VERSION = 1


class Model:
    """A trained main stream, ready for use.

    Attributes:
        main_stream: the network, in evaluation mode.
        preprocessing: the resizing and normalisation of `embed`.
        device: where the network is.
        digest: SHA-256 of the file that it was read from, hexadecimal; empty if it was not read from a file.
    """

    def __init__(
        self, main_stream: MainStream, preprocessing: Preprocessing, device: torch.device, digest: str = ""
    ) -> None:
        self.main_stream = main_stream.eval().to(device)
        self.preprocessing = preprocessing
        self.device = device
        self.digest = digest

    @property
    def parts(self) -> dict[str, int]:
        """The parts that a feature consists of, in order, with their lengths: "global", "local" or both."""
        heads = self.main_stream.config.heads
        return {head: self.main_stream.feature_width for head in ("global", "local") if heads in ("both", head)}

    @property
    def dimensions(self) -> int:
        """D, the length of a feature: 4096 for the paper's network."""
        return sum(self.parts.values())

    def embed(self, crops: Iterable[Crop], batch_size: int = 64, workers: int | None = None) -> torch.Tensor:
        """Return the features of crops of people, of any sizes and kinds.

        Args:
            crops: paths, uint8 arrays (H, W, 3), uint8 tensors (3, H, W) or PIL images, all RGB.
            batch_size: crops that go through the network together.
            workers: threads that decode and resize ahead of the network; one a core, at most 8, if None.

        Returns:
            float32 (N, D) on the CPU: f_G and f_L, each of length one, concatenated. Compare them by `distances`.

        Raises ModelError for a crop that is not an image.
        """
        features = [self.features(images) for images in batches(crops, self.preprocessing, batch_size, workers)]
        return torch.cat([torch.empty(0, self.dimensions), *features])

    @torch.inference_mode()
    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Map images of the network's size, uint8 RGB (B, height, width, 3), to float32 (B, D) on the CPU."""
        return join(*self.main_stream(self.preprocessing.normalise(images.to(self.device)))).float().cpu()


def save(main_stream: MainStream, path: str | os.PathLike[str], preprocessing: Preprocessing) -> Path:
    """Write the model file, whole or not at all; the same weights give the same bytes. Returns its path."""
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": dataclasses.asdict(main_stream.config),
        "preprocessing": dataclasses.asdict(preprocessing),
        "state": {key: value.detach().cpu().contiguous() for key, value in main_stream.state_dict().items()},
    }
    made = io.BytesIO()  # given a path, torch would store its name, and raise a RuntimeError for a full disk
    torch.save(content, made)
    return write_atomic(Path(path), made.getbuffer())


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Model:
    """Read a model file.

    Args:
        device: as torch names it, "cpu", "cuda:1" or a `torch.device`; "auto" is a GPU if there is one, else the CPU.

    Raises ModelError if the file is missing, damaged, of another version, not a model, or holds anything but weights
    (code in it is never run), if the device cannot be used, or if the trunk needs a package that is not installed.
    """
    path = Path(path)
    content = _read(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path} is not a model of dsa-reid. Name the model.pt of a training run.")
    if content.get("version") != VERSION:
        raise ModelError(
            f"{path} has version {content.get('version')}, this dsa_reid reads version {VERSION}. "
            "Install the dsa-reid that wrote it, or a newer one."
        )
    try:
        with torch.device("meta"):  # no time and no random numbers for weights that are replaced
            main_stream = MainStream(MainStreamConfig(**content["config"]))
        main_stream.load_state_dict(content["state"], assign=True)
        preprocessing = Preprocessing(**content["preprocessing"])
    except NotInstalledError:
        raise
    except (KeyError, TypeError, RuntimeError, ModelError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"{path} has weights that do not fit its configuration ({reason}). Train again: dsa-train run."
        ) from None
    return Model(main_stream, preprocessing, usable_device(device), digest_of(path))


def digest_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, by which features and exports identify their model."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Any:
    """Read a file of weights, and verify the checksums of all its bytes."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}. Name the model.pt of a training run.") from None
    except pickle.UnpicklingError:
        raise ModelError(
            f"{path} holds more than weights: it was refused, and no code in it was run. Use a model.pt of dsa-reid."
        ) from None
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"{path} is truncated, damaged or not a model ({reason}). Copy it again.") from None
