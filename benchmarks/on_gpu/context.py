"""What every part of the benchmark measures with, and where its results go."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from naive.images import open_random_images
from naive.loader import Files
from timing.turns import Turns

from dsa_app.config import build
from dsa_train.batches.feed import TrainingSet
from dsa_train.config import TrainConfig

Values = dict[str, Any]

PAPER: Values = {"height": 256, "width": 128, "network": {"weights": "none"}}
SMALL: Values = {
    "height": 64,
    "width": 32,
    "augment": {"pad": 4},
    "network": {"weights": "none", "main": {"trunk": "resnet18", "width": 0.25}},
}


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        values: settings of the training.
        identities, texels: of the data, with four images each, and S.
        batch: P of a batch of P x 4 images.
        rounds: of every job; the fastest counts.
        different: images of the data that differ; the others are copies of these.
        crops: in a batch of an extraction.
        embedded: images to embed, in batches of 64.
        share: of Market-1501's size to evaluate.
        steps: of the training whose losses are compared to the CPU's.
    """

    values: Values
    identities: int
    texels: int
    batch: int
    rounds: int
    different: int
    crops: int
    embedded: int
    share: float
    steps: int


SIZES = {
    "paper": Size(PAPER, 751, 32, 16, 10, 256, 64, 2048, 1.0, 50),
    "small": Size(SMALL, 100, 16, 4, 1, 64, 1, 8, 0.1, 5),
}


@dataclasses.dataclass(frozen=True)
class Context:
    """One part's device, size, data and file of results.

    Attributes:
        precision: of the training steps: bfloat16 on a GPU, float32 on a CPU, as the trainer's "auto".
        folder: of the data.
        out: JSON with what was measured so far.
    """

    device: torch.device
    size: Size
    folder: Path
    out: Path

    @property
    def precision(self) -> str:
        return "bfloat16" if self.device.type == "cuda" else "float32"

    @property
    def turns(self) -> Turns:
        return Turns(self.device, self.size.rounds, warm=8 if self.device.type == "cuda" else 1)

    def config(self, **changes: Any) -> TrainConfig:
        """Return the size's settings, with `network` and `speed` joined with those that are there."""
        values = {**self.size.values, "precision": self.precision, "identities": self.size.batch}
        values |= {name: {**values.get(name, {}), **changes.pop(name, {})} for name in ("network", "speed")}
        return build(TrainConfig, {**values, **changes}, "benchmark")

    def data(self, config: TrainConfig) -> tuple[TrainingSet, Files]:
        """Open the data, which is made once for all parts."""
        return open_random_images(self.folder, config)

    def keep(self, **measured: Any) -> None:
        """Add measurements to the part's file, at once, so that a part that is stopped loses nothing."""
        found = json.loads(self.out.read_text()) if self.out.exists() else {}
        fresh = self.out.with_suffix(".new")  # renamed when it is whole: a part may be killed at any moment
        fresh.write_text(json.dumps(found | measured))
        fresh.replace(self.out)
