"""Where the body regions are in a picture: the renderer's truth, or what stage one found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from densepose_extract.engines.rendered import Rendered
from dsa_app.errors import StoreError
from dsa_data.charts import BODY_REGIONS
from dsa_data.records import Record
from dsa_data.stores.iuv import IuvStore
from dsa_data.synthetic.dataset import NOTE

BACKGROUND = "background"
REGIONS = (*BODY_REGIONS, BACKGROUND)


@dataclasses.dataclass(frozen=True)
class BodyMaps:
    """The charts of a dataset's pictures.

    Attributes:
        chart: returns a picture's, uint8 (H, W): 0 or the number I. Raises StoreError or ImageError.
        whose: who says so.
    """

    chart: Callable[[Record], NDArray[np.uint8]]
    whose: str

    def regions(self, record: Record) -> dict[str, NDArray[np.bool_]]:
        """Return where each of `REGIONS` is in a picture, bool (H, W) each; together they are all of it."""
        chart = self.chart(record)
        charts = {**BODY_REGIONS, BACKGROUND: (0,)}
        return {name: np.isin(chart, numbers) for name, numbers in charts.items()}


def body_maps(root: Path, named: Path | None, usual: Path) -> BodyMaps | None:
    """Return the renderer's truth if the dataset was drawn, else the maps of a store; None if there are neither.

    Args:
        root: the dataset's folder.
        named: a store that is to be taken in any case.
        usual: where it lies else.

    Raises StoreError for a store that cannot be read.
    """
    if named is None and (root / NOTE).is_file():
        truth = Rendered(root)
        return BodyMaps(lambda record: truth.find(record).read(record).iuv[..., 0], "the renderer's truth")
    path = named or usual
    if named is None and not path.exists():
        return None
    store = IuvStore(path)
    engine = store.header.configuration.get("engine", "unknown")
    return BodyMaps(lambda record: _stored(store, record), f"the maps of {path}, engine {engine}: not the truth")


def _stored(store: IuvStore, record: Record) -> NDArray[np.uint8]:
    place = store.index(record.key)
    if store.digests[place] != record.digest:
        raise StoreError(
            f"{store.path} was made from another picture {record.key} than the manifest lists. "
            "Make it again: densepose-extract run."
        )
    return np.asarray(store.read(place).iuv[..., 0])
