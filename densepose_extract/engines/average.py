"""The `average` engine: every image gets the average person's map, a control for what its own map contributes.

A gain over this control is due to what a map says of its own image, beyond where bodies are on average.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dsa_app.errors import EngineError
from dsa_data.charts import CHARTS
from dsa_data.records import Record
from dsa_data.stores.iuv import IuvStore

from .engine import identity_of_content
from .map_files import MapValues, PackedValues
from .maps import MapFile

HEIGHT, WIDTH = 256, 128  # pixels that the maps are averaged at


@dataclass(frozen=True)
class AverageFile(MapFile):
    """The average map, for an image of any size; its `path` is the store that was averaged."""

    def pixels(self, path: Path, record: Record) -> MapValues:
        """Return the average map at the size of the image, by nearest pixels."""
        assert self.kept is not None
        average = self.kept.unpacked().values
        return MapValues(cv2.resize(average, (record.width, record.height), interpolation=cv2.INTER_NEAREST_EXACT))


class Average:
    """The average of the maps that a store has of the training images, for every image.

    Raises EngineError if it has none of them in which a person was found, and StoreError if it is damaged.
    """

    name = "average"

    def __init__(self, store: Path, records: Sequence[Record]) -> None:
        self.store = store
        average = _average(store, [record.key for record in records if record.split == "train"])
        with IuvStore(store) as maps:
            self.bits = 8 if maps.has_uv else 0  # the average of maps of I alone is one
        self.digest = hashlib.sha256(average.tobytes()).hexdigest()
        self._kept: PackedValues = MapValues(average).packed(bits=8)

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name; the map is part of each image's digest."""
        return {"engine": self.name, **identity_of_content(self.bits)}

    def find(self, record: Record) -> AverageFile:
        """Return the average map, with score 1."""
        return AverageFile(self.store, self.digest, score=1.0, bits=self.bits, kept=self._kept)


def _average(store: Path, keys: Sequence[str]) -> np.ndarray:
    """Return the average of maps as I, U, V, uint8 (HEIGHT, WIDTH, 3).

    A pixel has the most frequent chart, background included, and the mean u and v of the maps with this chart there.
    """
    counts = np.zeros((CHARTS + 1, HEIGHT, WIDTH), np.int64)
    sums = np.zeros((CHARTS + 1, HEIGHT, WIDTH, 2), np.int64)
    rows, columns = np.indices((HEIGHT, WIDTH))
    with IuvStore(store) as maps:
        indices = [maps.index(key) for key in keys if key in maps]
        found = [index for index in indices if maps.statuses[index] == "found"]
        if not found:
            raise EngineError(
                f"{store} has no map of a training image in which a person was found, so there is no average. Make the "
                "maps first: densepose-extract run"
            )
        for index in found:
            iuv = cv2.resize(maps.read(index).iuv, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST_EXACT)
            counts[iuv[..., 0], rows, columns] += 1
            sums[iuv[..., 0], rows, columns] += iuv[..., 1:]
    chart = counts.argmax(axis=0)
    most = counts[chart, rows, columns]
    coordinates = np.rint(sums[chart, rows, columns] / most[..., None])
    average = np.concatenate([chart[..., None], coordinates], axis=-1).astype(np.uint8)
    return np.asarray(average * (chart > 0)[..., None])
