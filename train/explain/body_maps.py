"""Where the body regions are in an image: the renderer's ground truth, or the I, U, V maps of stage one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densepose_extract.config import EstimatorErrors
from densepose_extract.engines.rendered import Rendered
from dsa_app.errors import StoreError
from dsa_data.charts import BODY_REGIONS
from dsa_data.records import Record
from dsa_data.sets.rendered import NOTE
from dsa_data.stores.iuv import IuvStore

BACKGROUND = "background"
REGIONS = (*BODY_REGIONS, BACKGROUND)


@dataclasses.dataclass(frozen=True)
class BodyMaps:
    """The charts of a dataset's images.

    Attributes:
        chart: returns an image's, uint8 (H, W): 0 or the number I. Raises StoreError or ImageError.
        source: where they come from, in words.
    """

    chart: Callable[[Record], NDArray[np.uint8]]
    source: str

    def regions(self, record: Record) -> dict[str, NDArray[np.bool_]]:
        """Return the mask of each of `REGIONS` in an image, bool (H, W) each; every pixel is in exactly one."""
        chart = self.chart(record)
        charts = {**BODY_REGIONS, BACKGROUND: (0,)}
        return {name: np.isin(chart, numbers) for name, numbers in charts.items()}


def read_body_maps(root: Path, named: Path | None, usual: Path) -> BodyMaps | None:
    """Return the renderer's ground truth of a rendered dataset, else the maps of a store; None if there are neither.

    Args:
        root: the dataset's folder.
        named: a store that is used in any case.
        usual: the store that is used for a dataset that was not rendered, if it exists.

    Raises StoreError for a store that cannot be read.
    """
    if named is None and (root / NOTE).is_file():
        truth = Rendered(root, EstimatorErrors(rate=0))  # by default the engine adds an estimator's errors
        return BodyMaps(lambda record: truth.find(record).read(record).iuv[..., 0], "the renderer's ground truth")
    path = named or usual
    if named is None and not path.exists():
        return None
    store = IuvStore(path)
    engine = store.header.configuration.get("engine", "unknown")
    return BodyMaps(lambda record: _stored(store, record), f"the maps of {path}, engine {engine}: not ground truth")


def _stored(store: IuvStore, record: Record) -> NDArray[np.uint8]:
    row = store.index(record.key)
    if store.digests[row] != record.digest:
        raise StoreError(
            f"{store.path} was made from another file {record.key} than the manifest lists. "
            "Make it again: densepose-extract run."
        )
    return np.asarray(store.read(row).iuv[..., 0])
