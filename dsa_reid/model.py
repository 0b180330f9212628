"""The model file: the main stream's weights, its configuration and its preprocessing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .atomic import write_atomic
from .calibration import AGAIN, Calibration, read_calibration
from .config import REGIONS, MainStreamConfig, written
from .crops import Crop, many
from .device import usable_device
from .errors import ModelError, NotInstalledError
from .folding import folded
from .guard import reason
from .main_stream import UNSEEN, MainStream
from .metric import join
from .preprocessing import MAX_SIDE, Preprocessing
from .reading import batches
from .torch_state import own_torch_state
from .upload import download, upload
from .vit import camera_indices
from .weights_file import read_weights

FORMAT = "dsa-reid model"
VERSION = 1
VISIBILITY = "visibility"  # the name of a part


class Model:
    """A trained main stream, ready for use.

    Attributes:
        main_stream: the network, in evaluation mode.
        preprocessing: the resizing and normalisation of `embed`.
        device: where the network is.
        digest: SHA-256 of the file that it was read from, hexadecimal; empty if it was not read from a file.
        calibration: what its distances mean; None for a model that was trained without train.calibrate.
        visible_calibration: what its visible distances mean (`visible_distances`); None for a model that has no
            calibration, or does not predict regions.
    """

    def __init__(
        self,
        main_stream: MainStream,
        preprocessing: Preprocessing,
        device: torch.device,
        digest: str = "",
        calibration: Calibration | None = None,
        visible_calibration: Calibration | None = None,
    ) -> None:
        self.main_stream = main_stream.eval().to(device)
        self.preprocessing = preprocessing
        self.device = device
        self.digest = digest
        self.calibration = calibration
        self.visible_calibration = visible_calibration
        self._folded: MainStream | None = None

    @property
    def folded(self) -> MainStream:
        """The network that `embed` computes: with batch norm folded into the convolutions, made at its first use.

        It is a copy, which later changes of `main_stream` do not reach.
        """
        if self._folded is None:  # two threads may both make it, the same
            with own_torch_state():
                self._folded = folded(self.main_stream)
        return self._folded

    @property
    def parts(self) -> dict[str, int]:
        """The parts that a feature consists of, in order, with their lengths: "global", "local" or both."""
        return self.main_stream.parts

    @property
    def dimensions(self) -> int:
        """D, the length of a feature: 4096 for the paper's network."""
        return sum(self.parts.values())

    @property
    def parts_with_visibility(self) -> dict[str, int]:
        """The same with the visibilities of the eight regions, "visibility", at the end."""
        return {**self.parts, VISIBILITY: REGIONS}

    @property
    def has_visibility(self) -> bool:
        """Whether the model predicts regions, so that their visibilities are known."""
        return self.main_stream.config.predicts_regions

    def check_visibility(self) -> None:
        """Raise ModelError unless the visibilities of regions are known."""
        if not self.has_visibility:
            raise ModelError(UNSEEN)

    def probability(
        self, distances: torch.Tensor | np.ndarray | float, prior: float = 0.5, visible: bool = False
    ) -> Any:
        """Return the probability that two images at a distance show one person.

        Args:
            distances: Euclidean, of whole features; those of `visible_distances` with `visible`.
            prior: see `Calibration.probability`.

        Raises ModelError for a model that is not calibrated for these distances.
        """
        return self.calibrated(visible).probability(distances, prior)

    def presence(
        self,
        distances: torch.Tensor | np.ndarray,
        gallery: int | None = None,
        sample: torch.Tensor | np.ndarray | None = None,
        visible: bool = False,
    ) -> Any:
        """Return the probability (Q,) that each query's person is in a gallery, from distances (Q, K).

        See `Calibration.presence`; `visible` as for `probability`. Raises ModelError for a model that is not calibrated
        for these distances.
        """
        return self.calibrated(visible).presence(distances, gallery, sample)

    def calibrated(self, visible: bool = False) -> Calibration:
        """Return the calibration, with `visible` that of visible distances. Raises ModelError if there is none."""
        if visible:
            self.check_visibility()
        if self.calibration is None:
            raise ModelError(
                "This model is not calibrated, so its distances give no probabilities. Train it with a share of the "
                "people held out for that: dsa-train run --set train.calibrate=0.2; or calibrate it on people that it "
                "has not seen: dsa-train calibrate MODEL --dataset NAME."
            )
        found = self.visible_calibration if visible else self.calibration
        if found is None:
            raise ModelError(
                "This model is calibrated for distances of whole features alone: it was trained by an earlier version, "
                "or its visible distances do not separate people. Train it again: dsa-train run --set "
                "train.calibrate=0.2; or embed without visibility."
            )
        return found

    def embed(
        self,
        crops: Crop | Iterable[Crop],
        batch_size: int = 64,
        workers: int | None = None,
        visibility: bool = False,
        cameras: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Return the features of crops of people, of any sizes and kinds.

        Args:
            crops: each a path, the bytes of an image file, a uint8 array (H, W, 3), a uint8 tensor (3, H, W) or a PIL
                image, all RGB. A single crop is a list of one.
            batch_size: crops that go through the network together.
            workers: threads that decode and resize ahead of the network; one a core, at most 8, if None.
            visibility: append the visibility of the eight regions, 0 to 1, for `visible_distances`.
            cameras: camid of each crop, for a model with an embedding of the camera (`sie`); one that its training did
                not have is unknown. None for all unknown, which is what exported models compute.

        Returns:
            float32 (N, D) on the CPU: f_G and f_L, each of length one, concatenated. Compare them by `distances`.

        The result does not depend on torch's global settings (autocast, default dtype, default device, modes). Raises
        ModelError for a crop that is not an image, with its path or its number.
        """
        indices = None if cameras is None else self._camera_indices(cameras)
        read = batches(many(crops), self.preprocessing, batch_size, workers)
        count = 0
        features: list[torch.Tensor] = []
        pending: Callable[[], torch.Tensor] | None = None
        for images in read:
            # A batch is waited for when the next one has been given to the device, which so has no pause.
            own = None if indices is None else indices[count : count + len(images)]
            count += len(images)
            if indices is not None and len(indices) < count:
                raise ModelError(f"{len(indices)} cameras are for more crops. Give the camera of every crop.")
            copied = download(self._computed(images, visibility, own))
            if pending is not None:
                features.append(pending())
            pending = copied
        if pending is not None:
            features.append(pending())
        if indices is not None and len(indices) > count:
            raise ModelError(f"{len(indices)} cameras are for {count} crops. Give the camera of every crop.")
        width = self.dimensions + (REGIONS if visibility else 0)
        with own_torch_state():
            return torch.cat([torch.empty(0, width, dtype=torch.float32), *features])

    def features(self, images: torch.Tensor, visibility: bool = False) -> torch.Tensor:
        """Map images of the network's size, uint8 RGB (B, height, width, 3), to float32 (B, D) on the CPU.

        With `visibility` that of the eight regions is appended, (B, D + 8). Raises ModelError if it is not known.
        """
        return self._computed(images, visibility).cpu()

    def _camera_indices(self, cameras: Sequence[int]) -> torch.Tensor:
        """Return the index of each camera. Raises ModelError for a model that has no embedding of the camera."""
        config = self.main_stream.config
        if not config.sie:
            raise ModelError("This model has no embedding of the camera (sie). Leave cameras out.")
        return camera_indices(config.cameras, cameras)

    def _computed(self, images: torch.Tensor, visibility: bool, cameras: torch.Tensor | None = None) -> torch.Tensor:
        """Return what `features` returns, on the device.

        Args:
            cameras: as for `MainStream.look`.
        """
        known = () if cameras is None else (upload(cameras, self.device),)
        network = self.folded
        with own_torch_state(self.device), torch.inference_mode():
            normalised = self.preprocessing.normalise(upload(images, self.device))
            normalised = normalised.contiguous(memory_format=torch.channels_last)
            if not visibility:
                return join(*network(normalised, *known)).float()
            features, seen = network.with_visibility(normalised, *known)
            return torch.cat([join(*features), seen], dim=1).float()


def save(
    main_stream: MainStream,
    path: str | os.PathLike[str],
    preprocessing: Preprocessing,
    pretrained: Mapping[str, Any] | None = None,
    calibration: Calibration | None = None,
    visible_calibration: Calibration | None = None,
) -> Path:
    """Write the model file, whole or not at all; the same weights give the same bytes. Returns its path.

    Args:
        pretrained: which pretrained weights its training started from, plain values; None for none.
        calibration: what its distances mean; None for none, which is not written.
        visible_calibration: the same of its visible distances.
    """
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": written(dataclasses.asdict(main_stream.config)),
        "preprocessing": dataclasses.asdict(preprocessing),
        **({"pretrained": dict(pretrained)} if pretrained else {}),
        **({"calibration": calibration.written()} if calibration else {}),
        **({"visible_calibration": visible_calibration.written()} if visible_calibration else {}),
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
    with own_torch_state():
        content = read_weights(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ModelError(f"{path} is not a model of dsa-reid. Name the model.pt of a training run.")
    if content.get("version") != VERSION:
        raise ModelError(
            f"{path} has version {str(content.get('version'))[:40]}, this dsa_reid reads version {VERSION}. "
            "Install the dsa-reid that wrote it, or a newer one."
        )
    with own_torch_state():
        try:
            main_stream, preprocessing = _built(content)
        except NotInstalledError:
            raise
        except Exception as error:  # the file may hold values of any type
            raise ModelError(
                f"{path} has weights that do not fit its configuration ({reason(error)}). Train again: dsa-train run."
            ) from None
        try:
            calibrations = [read_calibration(content.get(name)) for name in ("calibration", "visible_calibration")]
        except ModelError as error:
            raise ModelError(f"{path}: {error}") from None
        except Exception as error:  # as above
            raise ModelError(f"{path} has a calibration that is damaged ({reason(error)}). {AGAIN}") from None
        return Model(main_stream, preprocessing, usable_device(device), digest_of(path), *calibrations)


def _built(content: dict[str, Any]) -> tuple[MainStream, Preprocessing]:
    """Return the network and the preprocessing of a model file's content. Raises whatever wrong values lead to."""
    preprocessing = Preprocessing(**content["preprocessing"])
    config = MainStreamConfig(**content["config"])
    if len(config.size) != 2 or not all(isinstance(n, int) and 0 < n <= MAX_SIDE for n in config.size):
        raise ValueError(f"size = {str(config.size)[:40]}")
    with torch.device("meta"):  # no time and no random numbers for weights that are replaced
        main_stream = MainStream(config)
    state = content["state"]
    for key, value in main_stream.state_dict().items():
        if key in state and state[key].dtype != value.dtype:
            raise ValueError(f"{key} has type {state[key].dtype}, expected {value.dtype}")
    main_stream.load_state_dict(state, assign=True)
    return main_stream, preprocessing


def digest_of(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in hexadecimal, by which features and exports identify their model."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
