"""Images and maps for the tests of stage two: by Hypothesis, of a small dataset on disk, of real photographs."""

import dataclasses
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from dsa_data import images
from dsa_data.records import Record, index, read_manifest, write_manifest
from dsa_data.sets.market1501 import scan
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import Confidence, IuvMap, IuvStore, write_iuv


@st.composite
def pairs(draw: st.DrawFn, longest: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A noise image and a valid I, U, V map: dense or sparse, of few charts or all, with extreme values of u and v."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    charts = draw(st.lists(st.integers(1, 24), min_size=1, max_size=24, unique=True))
    levels = [0, 255, *draw(st.lists(st.integers(0, 255), max_size=40))]
    chart = rng.choice(charts, (height, width)) * (rng.random((height, width)) < draw(st.floats(0, 1)))
    u, v = rng.choice(levels, (2, height, width)) * (chart > 0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, np.stack([chart, u, v], axis=2).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class Case:
    """A small dataset on disk with a map for every image."""

    folder: Path
    root: Path

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    @property
    def iuv(self) -> Path:
        return self.folder / "iuv.h5"

    @property
    def out(self) -> Path:
        return self.folder / "dsap.h5"

    def list_images(self) -> list[Record]:
        """Write the manifest of the images that are there now; return its records."""
        records = index(self.root, scan(self.root))
        write_manifest(records, self.manifest)
        return records

    def make_maps(self, configuration: dict[str, object] | None = None) -> None:
        """Write a random map for every listed image; its seed is the image's digest."""
        records = read_manifest(self.manifest)
        keys = [record.key for record in records]
        maps = [
            IuvMap(random_map(record), 0.9, np.arange(4, dtype=np.float32), "found", record.digest, record.digest)
            for record in records
        ]
        self.write_maps(Header("tiny", configuration or {"engine": "rendered"}, "ab" * 32), keys, maps)

    def replace_maps(self, change: dict[int, np.ndarray]) -> None:
        """Replace the maps at some indices, as another run of stage one would."""
        store = IuvStore(self.iuv)
        maps = [store.read(number) for number in range(len(store))]
        for number, iuv in change.items():
            maps[number] = dataclasses.replace(maps[number], iuv=iuv)
        self.write_maps(store.header, store.keys, maps)

    def make_sure_maps(self, confidence: Confidence = "pixels", bits: int = 8) -> list[IuvMap]:
        """Write the maps of `make_maps` with random confidences, or of I alone; return them."""
        self.make_maps()
        with IuvStore(self.iuv) as store:
            maps = [store.read(number) for number in range(len(store))]
            header, keys = store.header, store.keys
        rng = np.random.default_rng(1)
        for number, one in enumerate(maps):
            pixels = rng.integers(0, 256, one.iuv.shape[:2], dtype=np.uint8) // 64 * 64  # equal ones are frequent
            maps[number] = dataclasses.replace(
                one,
                iuv=one.iuv if bits else one.iuv * np.array([1, 0, 0], np.uint8),
                confidence=pixels if confidence == "pixels" else None,
                image_confidence=float(rng.random(dtype=np.float32)),
            )
        self.write_maps(header, keys, maps, bits, confidence)
        return maps

    def write_maps(
        self, header: Header, keys: list[str], maps: list[IuvMap], bits: int = 8, confidence: Confidence = "none"
    ) -> None:
        """Write the store of maps under another name and rename it, as stage one does."""
        shapes = np.array([one.iuv.shape[:2] for one in maps])
        part = self.iuv.with_suffix(".part")
        write_iuv(part, header, keys, shapes, iter(maps), bits, confidence).replace(self.iuv)


def random_map(record: Record) -> np.ndarray:
    """Return a random map, with the image's digest as its seed; about every fifth image has no person."""
    rng = np.random.default_rng(int(record.digest[:16], 16))
    chart = rng.integers(1, 25, (record.height, record.width)) * (rng.random((record.height, record.width)) < 0.5)
    chart *= rng.random() < 0.8
    u, v = rng.integers(0, 256, (2, record.height, record.width)) * (chart > 0)
    return np.stack([chart, u, v], axis=2).astype(np.uint8)


def real_maps(shared: Path) -> list[np.ndarray]:
    """Return the maps of four photographs as I, U, V; that of the group is stored as V, U, I."""
    maps = [images.read(shared / "real" / f"{name}_IUV.png") for name in ("front1", "front2", "back", "group")]
    return [*maps[:3], maps[3][..., ::-1]]


def fields(maps: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each chart the mean gradient (24, 4): U by x and y, V by x and y; and its mean determinant (24,).

    The sign of the determinant is the orientation of the chart on the body, in any pose.
    """
    charts, gradients = [], []
    for iuv in maps:
        chart, here = iuv[:-1, :-1, 0], iuv[:-1, :-1, 1:].astype(float)
        inside = (chart > 0) & (iuv[1:, :-1, 0] == chart) & (iuv[:-1, 1:, 0] == chart)
        by_x, by_y = iuv[:-1, 1:, 1:] - here, iuv[1:, :-1, 1:] - here
        gradient = np.stack([by_x[..., 0], by_y[..., 0], by_x[..., 1], by_y[..., 1]], axis=2)[inside]
        smooth = (np.abs(gradient) < 20).all(axis=1)  # no jump from one person to another
        charts.append(chart[inside][smooth])
        gradients.append(gradient[smooth])
    chart, gradient = np.concatenate(charts), np.concatenate(gradients)
    determinant = gradient[:, 0] * gradient[:, 3] - gradient[:, 1] * gradient[:, 2]
    mean = np.array([gradient[chart == c].mean(axis=0) for c in range(1, 25)])
    return mean, np.array([determinant[chart == c].mean() for c in range(1, 25)])
