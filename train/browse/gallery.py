"""The gallery that is browsed: its images, their features, and the ranking of all of them for one query."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import ConfigError, ImageError
from dsa_data import images
from dsa_data.stores.dsap import DsapStore
from dsa_reid.body import REGION_NAMES
from dsa_reid.calibration import Calibration
from dsa_reid.config import REGIONS
from dsa_reid.metric import distances as pairwise
from dsa_reid.metric import visible_distances
from dsa_reid.model import Model
from dsa_reid.regions import region_distances
from dsap.layout import Turns, body

from ..evaluation.distmat import GALLERY, Rows

Image = NDArray[np.uint8]
CELL = 32  # side of a part image on the unfolded body, pixels


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """An image that the page may show.

    Args:
        key: its path below the root.
        pid, camid: identity and camera; None where no manifest says them.
    """

    key: str
    pid: int | None = None
    camid: int | None = None


@dataclasses.dataclass(frozen=True)
class Filter:
    """Which images a ranking lists; empty values leave nothing out.

    Args:
        camera: of the images.
        text: that their path contains.
        other_cameras: leave out those of the query's own camera.
    """

    camera: int | None = None
    text: str = ""
    other_cameras: bool = False


@dataclasses.dataclass(frozen=True)
class Hit:
    """An image in a ranking.

    Args:
        number: of the image, see `Gallery.images`.
        rank: 1 for the nearest among those that are listed.
        correct: whether it shows the query's person; None if that is not known.
        probability: that it does; None for a model that is not calibrated, or a distance by regions.
        regions: distance in each of the eight regions; empty for features without a local part.
    """

    number: int
    image: ListedImage
    rank: int
    distance: float
    correct: bool | None
    probability: float | None
    regions: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The hits of a query, and the probability that its person is in the gallery; None without calibration."""

    hits: Sequence[Hit]
    presence: float | None


class Gallery:
    """Images, the features of some of them, and the model that made these. May be used by several threads.

    Features with visibilities are compared by what both images show, others by their Euclidean distance.

    Args:
        model: embeds queries.
        images: all images that may be shown; the first `len(features)` are the gallery, others are queries to pick.
        features: float (G, D), of the model, or (G, D + 8) with the visibilities of regions.
        root: the folder of the images.
        store: their part images; None if there are none.
        turns: how part images are rotated.
        title: what is browsed.
    """

    def __init__(
        self,
        model: Model,
        images: Sequence[ListedImage],
        features: Rows,
        root: Path,
        store: DsapStore | None,
        turns: Turns,
        title: str,
    ) -> None:
        self.model, self.images, self.root, self.title = model, images, root, title
        self.size = features.shape[0]
        self.picks = range(self.size, len(images)) if len(images) > self.size else range(self.size)
        self._features, self._store, self._turns = features, store, turns
        self.visible = features.shape[1] == model.dimensions + REGIONS
        self._lock = threading.Lock()  # a network and an HDF5 file are used by one thread at a time

    @property
    def calibration(self) -> Calibration | None:
        """What the distances between whole images mean; None if the model is not calibrated for them."""
        return self.model.visible_calibration if self.visible else self.model.calibration

    @property
    def regions(self) -> Sequence[str]:
        """Names of the regions that images can be compared by; none for features without a local part."""
        return REGION_NAMES if list(self.model.parts)[-1:] == ["local"] else ()

    def read(self, number: int) -> Image:
        """Return an image. Raises ImageError if it is missing, damaged, or a link that leads out of the root."""
        key = self.images[number].key
        path, root = (self.root / key).resolve(), self.root.resolve()
        if not path.is_relative_to(root):
            raise ImageError(f"{key} is a link to a file outside {self.root}. Only files of that folder are shown.")
        return images.read(path)

    def rank(self, query: Image, asked: ListedImage | None, regions: Sequence[str], some: Filter, top: int) -> Ranking:
        """Return the nearest images of a query.

        Args:
            query: uint8 (H, W, 3), RGB.
            asked: the image of the gallery's dataset that the query is; None for another.
            regions: names; distances are the mean of these regions' instead of the whole feature's. Empty for that.
            top: hits at most.

        Raises ConfigError for a region that the features do not have.
        """
        if unknown := set(regions) - set(self.regions):
            raise ConfigError(
                f"{sorted(unknown)[0]!r} is no region of these features: {', '.join(self.regions) or 'none'}."
            )
        with self._lock:
            feature = self.model.embed([query], visibility=self.visible).numpy()  # (1, D) or (1, D + 8)
            whole, by_region = self._distances(feature)
        chosen = [self.regions.index(name) for name in regions]
        distances = by_region[:, chosen].mean(1) if chosen else whole
        listed = self._listed(asked, some)
        order = listed[np.argsort(distances[listed], kind="stable")[:top]]
        calibration = None if chosen else self.calibration
        presence = None if calibration is None else float(calibration.presence(whole[None])[0])
        prior = 1 / (self.size + 1)
        hits = [
            Hit(
                number,
                self.images[number],
                rank,
                float(distances[number]),
                self._is_correct(asked, self.images[number]),
                None if calibration is None else float(calibration.probability(float(distances[number]), prior)),
                by_region[number].tolist(),
            )
            for rank, number in enumerate(order.tolist(), start=1)
        ]
        return Ranking(hits, presence)

    def surfaces(self, one: int, other: int) -> list[tuple[str, Image]] | None:
        """Return what two images show of the surface of the body, unfolded, and what both of them show.

        Returns each with what it is; None where there are no part images of one of them.
        """
        keys = [self.images[number].key for number in (one, other)]
        if self._store is None or not all(key in self._store for key in keys):
            return None
        with self._lock:
            (first, seen), (second, seen_there) = (self._store.read(self._store.index(key)) for key in keys)
        both = seen & seen_there
        shown = [("query", first, seen), ("image", second, seen_there)]
        shown += [("query, where both are visible", first, both), ("image, where both are visible", second, both)]
        return [(words, body(texels, valid, self._turns, CELL, names=False)) for words, texels, valid in shown]

    def _distances(self, feature: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the distances of a query (1, D) to all images (G,), and by region (G, 8) or (G, 0)."""
        whole, regions, width = [], [], self.model.dimensions
        for start in range(0, self.size, GALLERY):
            rows = np.asarray(self._features[start : start + GALLERY], np.float32)
            if self.visible:
                whole.append(visible_distances(feature, rows, self.model.parts_with_visibility).numpy()[0])
            else:
                whole.append(pairwise(feature, rows).numpy()[0])
            if self.regions:
                alone = feature[:, :width], rows[:, :width]
                regions.append(region_distances(*alone, dict(self.model.parts)).numpy()[0])
        by_region = np.concatenate(regions) if regions else np.zeros((self.size, 0))
        return np.concatenate(whole).astype(float), by_region.astype(float)

    def _listed(self, asked: ListedImage | None, some: Filter) -> NDArray[np.intp]:
        """Return the numbers of the images that a filter leaves."""

        def fits(one: ListedImage) -> bool:
            own = some.other_cameras and asked is not None and asked.camid is not None and one.camid == asked.camid
            return not own and (some.camera is None or one.camid == some.camera) and some.text in one.key

        return np.array([n for n in range(self.size) if fits(self.images[n])], np.intp)

    @staticmethod
    def _is_correct(asked: ListedImage | None, one: ListedImage) -> bool | None:
        if asked is None or asked.pid is None or one.pid is None:
            return None
        return asked.pid == one.pid


def listed_images(keys: Sequence[str], known: Mapping[str, ListedImage]) -> list[ListedImage]:
    """Return images for keys, with what is known of them."""
    return [known.get(key, ListedImage(key)) for key in keys]
