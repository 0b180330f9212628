"""Images with their DSAP, resized once: from memory, or from disk where they do not fit, the same either way."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from dsa_app.console import progress
from dsa_app.errors import StoreError
from dsa_data.charts import CHARTS, REGION_OF_CHART
from dsa_data.images import decode
from dsa_data.records import Record, read_listed
from dsa_data.stores.dsap import DsapStore
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.read_ahead import read_ahead

from .config import GuidanceConfig

GIB = 2**30
CHUNK = 64  # images read together when memory is filled
AHEAD = 2  # batches read ahead for each worker


@dataclasses.dataclass(frozen=True)
class Batch:
    """B images, resized but not augmented; the DSAP is None for a network without a guide.

    Args:
        images: uint8 (B, H, W, 3), RGB.
        texels: uint8 (B, 24, S, S, 3), RGB.
        valid: bool (B, 24, S, S), which texels the guide sees; or, with `guidance.confidence` "weight", uint8, the
            weight of each in 255ths.
        regions: uint8 (B, H, W), see `batches.regions`; None for a network that has no labels of regions.
        region_confidence: uint8 (B, H, W), of each pixel of `regions`; None where the loss does not weight by it.
    """

    images: torch.Tensor
    texels: torch.Tensor | None = None
    valid: torch.Tensor | None = None
    regions: torch.Tensor | None = None
    region_confidence: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.images)

    def tensors(self) -> list[torch.Tensor]:
        """Return those of the five that are not None."""
        return list(self._named().values())

    def map(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """Return the batch with every tensor changed."""
        return Batch(**{name: change(tensor) for name, tensor in self._named().items()})

    def _named(self) -> dict[str, torch.Tensor]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: tensor for name, tensor in fields.items() if tensor is not None}

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; from pinned memory without waiting."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=True))


class Images:
    """N images of one size, and their DSAP if a store is given.

    Args:
        root: the dataset's folder.
        records: of the images; index n is that of records[n].
        preprocessing: the size that images are resized to.
        store: of their DSAP.
        parts: whether the part images in the store are read.
        regions_of: for each image the index of the one whose regions are its labels; None for no labels.
        guidance: decides what the confidence of texels does; None to ignore it.
        weighted_regions: whether the confidence of labels is read.

    Raises:
        StoreError: if the store lacks an image, or was built from another file of that name.
    """

    def __init__(
        self,
        root: Path,
        records: Sequence[Record],
        preprocessing: Preprocessing,
        store: DsapStore | None = None,
        parts: bool = True,
        regions_of: Sequence[int] | None = None,
        guidance: GuidanceConfig | None = None,
        weighted_regions: bool = False,
    ) -> None:
        self.guidance = guidance or GuidanceConfig()
        self.weighted_regions = weighted_regions and regions_of is not None
        self.root, self.records, self.preprocessing, self.store = root, records, preprocessing, store
        self.parts, self.regions_of = parts and store is not None, regions_of
        self._rows = [_store_row(store, record) for record in records] if store else []
        self._memory: Batch | None = None

    def __len__(self) -> int:
        return len(self.records)

    @property
    def bytes(self) -> int:
        """Memory that all images and their DSAP take."""
        parts = CHARTS * self.store.size**2 * 4 if self.store and self.parts else 0  # three colours and `valid`
        planes = 3 + (self.regions_of is not None) + self.weighted_regions
        return len(self) * (self.preprocessing.height * self.preprocessing.width * planes + parts)

    def load_into_memory(self, limit: float, workers: int, device: torch.device | None = None) -> bool:
        """Read everything into memory if it takes no more than `limit` bytes; return whether it does.

        Args:
            device: whose memory; None for the machine's.
        """
        if self.bytes > limit:
            return False
        chunks = [range(start, min(start + CHUNK, len(self))) for start in range(0, len(self), CHUNK)]
        read = progress(read_ahead(self.read, chunks, workers, AHEAD * workers), len(self), "Reading images", each=0)
        whole = _joined(len(self), read)
        self._memory = whole.to(device) if device else whole
        return True

    def batches(self, order: Sequence[Sequence[int]], workers: int, pin: bool = False) -> Iterator[Batch]:
        """Yield the batches whose indices are in `order`, read ahead by `workers` threads.

        Args:
            pin: copy them to page-locked memory, from which a GPU copies without waiting.
        """
        for batch in read_ahead(self.read, order, workers, AHEAD * workers):
            yield batch.map(torch.Tensor.pin_memory) if pin and not batch.images.is_cuda else batch

    def read(self, indices: Sequence[int]) -> Batch:
        """Return the images of these indices as one batch. Raises ImageError or StoreError that names the file."""
        if self._memory is not None:
            chosen = torch.as_tensor(list(indices), device=self._memory.images.device)
            return self._memory.map(lambda tensor: tensor[chosen])
        images = torch.stack([self._image(self.records[index]) for index in indices])  # (B, H, W, 3)
        regions = self.read_regions(indices) if self.regions_of is not None else None
        sure = self._region_confidence(indices) if self.weighted_regions else None
        if self.store is None or not self.parts:
            return Batch(images, regions=regions, region_confidence=sure)
        rows = [self._rows[index] for index in indices]
        texels, valid = self.store.read_many(rows)
        if self.guidance.confidence != "ignore":
            valid = seen_texels(valid, self.store.read_confidences(rows), self.guidance)
        return Batch(images, torch.from_numpy(texels), torch.from_numpy(valid), regions, sure)

    def read_regions(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the labels of these indices, uint8 (B, H, W), without reading the images."""
        assert self.store is not None, "regions come from a store"
        assert self.regions_of is not None, "these images have labels"
        if self._memory is not None and self._memory.regions is not None:
            return self._memory.regions[torch.as_tensor(list(indices), device=self._memory.regions.device)]
        rows = [self._rows[self.regions_of[index]] for index in indices]
        charts = (self.store.read_charts(row) for row in rows)
        return torch.stack([region_image(one, *self._size) for one in charts])

    def _region_confidence(self, indices: Sequence[int]) -> torch.Tensor:
        """Return the confidence of the labels of these indices, uint8 (B, H, W)."""
        assert self.store is not None, "regions come from a store"
        assert self.regions_of is not None, "these images have labels"
        rows = [self._rows[self.regions_of[index]] for index in indices]
        planes = (nearest(self.store.read_chart_confidence(row), *self._size) for row in rows)
        return torch.stack([torch.from_numpy(plane) for plane in planes])

    @property
    def _size(self) -> tuple[int, int]:
        return self.preprocessing.height, self.preprocessing.width

    def _image(self, record: Record) -> torch.Tensor:
        data = read_listed(self.root, record.key, record.digest)
        return self.preprocessing.resize(torch.from_numpy(decode(data, self.root / record.key)))


def region_image(charts: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Return the image of regions of a chart image uint8 (H', W'), resized to uint8 (height, width), nearest pixel."""
    return torch.from_numpy(REGION_OF_CHART[nearest(charts, height, width)])


def nearest(plane: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a plane (H', W') resized to (height, width): of each pixel the one at its middle."""
    rows, columns = (
        (2 * np.arange(wanted) + 1) * own // (2 * wanted)
        for wanted, own in zip((height, width), plane.shape, strict=True)
    )
    return np.asarray(plane[rows[:, None], columns])


def seen_texels(valid: np.ndarray, confidence: np.ndarray, guidance: GuidanceConfig) -> np.ndarray:
    """Return `Batch.valid` as the guide's settings want it.

    Args:
        valid: bool (B, 24, S, S), as stored.
        confidence: uint8 (B, 24, S, S), 0 where not valid.
    """
    if guidance.confidence == "weight":
        return confidence
    return np.asarray(valid & (confidence >= 255 * guidance.least_confidence))


def memory_limit(gib: float | None) -> float:
    """Return how many bytes images may take: `gib` GiB, or half of the machine's memory if None."""
    return gib * GIB if gib else os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2


def number_identities(pids: Iterable[int]) -> torch.Tensor:
    """Number identities from 0 in ascending order of their pid: int64 (N,)."""
    numbers: torch.Tensor = torch.tensor(list(pids), dtype=torch.int64).unique(return_inverse=True)[1]
    return numbers


def _store_row(store: DsapStore, record: Record) -> int:
    """Return the row of the store that has the DSAP of a record."""
    row = store.index(record.key)
    if store.digests[row] != record.digest:
        raise StoreError(
            f"{store.path} was built from another file {record.key} than the manifest lists. Build it again: "
            "dsap build --overwrite."
        )
    return row


def _joined(N: int, batches: Iterable[Batch]) -> Batch:
    """Return one batch of N images, copied from `batches` one after another."""
    whole: Batch | None = None
    start = 0
    for batch in batches:
        if whole is None:
            whole = batch.map(lambda tensor: tensor.new_empty(N, *tensor.shape[1:]))
        end = start + len(batch)
        for target, source in zip(whole.tensors(), batch.tensors(), strict=True):
            target[start:end] = source
        start = end
    assert whole is not None, "a set of images is not empty"
    return whole
