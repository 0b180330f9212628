"""The maps of batches: read from files, or computed by a network while threads read the next images.

On a GPU two batches are computed at a time, by a thread and a stream each: while one waits for its boxes on the CPU, or
packs its maps, the GPU computes the other. Every batch is the same as if it were computed alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from dsa_app.errors import EngineError, ImageError
from dsa_app.parallel import carry_out
from dsa_data import images
from dsa_data.records import Record, read_listed
from dsa_data.stores.header import digest_of
from dsa_data.stores.iuv import IuvMap
from dsa_reid.read_ahead import read_ahead

from .engines.engine import Engine, Extracted, PreparesAhead
from .engines.maps import Maps
from .engines.sizing import Canvas
from .packed import pack
from .plan import Batch, batch_digest

AHEAD = 2  # batches that are read before the network needs them, or one for each thread if that is more
Arrays = dict[str, np.ndarray]
Prepared = tuple[list[np.ndarray | ImageError], Canvas | None]  # see `prepare_batch`


@dataclass(frozen=True)
class ImageReader:
    """Reads the images of a dataset.

    Attributes:
        root: the folder that the records' keys are relative to.
        skip_broken: continue if an image cannot be read: it gets an empty map, and the reason is kept.
    """

    root: Path
    skip_broken: bool = False

    def read(self, record: Record) -> bytes:
        """Return the bytes of an image file. Raises ImageError if they are not those that the manifest lists."""
        return read_listed(self.root, record.key, record.digest)

    def decode(self, records: Sequence[Record]) -> list[np.ndarray | ImageError]:
        """Return each image, uint8 (H, W, 3), or the error if broken images are skipped. Raises ImageError if not."""
        decoded: list[np.ndarray | ImageError] = []
        for record in records:
            try:
                decoded.append(images.decode(self.read(record), self.root / record.key))
            except ImageError as error:
                if not self.skip_broken:
                    raise
                decoded.append(error)
        return decoded


def make_maps(
    batches: Sequence[Batch], reader: ImageReader, engine: Engine | Maps, jobs: int = 1
) -> Iterator[tuple[Batch, Arrays]]:
    """Yield each batch with the arrays of its piece (`packed.pack`), in any order.

    Args:
        jobs: processes that read maps from files, or threads that read images for a network.

    Raises ImageError for an image or a map that cannot be read, EngineError if memory runs out.
    """
    if isinstance(engine, Maps):
        work: Callable[..., tuple[Batch, Arrays]] = joblib.delayed(read_batch)
        tasks = (work(batch, reader) for batch in batches)
        yield from carry_out(tasks, jobs, ordered=False)
        return
    threads = joblib.effective_n_jobs(jobs)
    prepare = functools.partial(prepare_batch, reader=reader, engine=engine)
    prepared_batches = zip(batches, read_ahead(prepare, batches, threads, max(AHEAD, threads)), strict=True)

    def compute(one: tuple[Batch, Prepared]) -> tuple[Batch, Arrays]:
        batch, prepared = one
        return batch, compute_batch(engine, batch.records, *prepared)

    in_flight = engine.in_flight if isinstance(engine, PreparesAhead) else 1
    if in_flight == 1:  # in this thread, whose number of torch's threads was set
        yield from map(compute, prepared_batches)
    else:
        yield from read_ahead(compute, prepared_batches, in_flight, in_flight)


def prepare_batch(batch: Batch, reader: ImageReader, engine: Engine) -> Prepared:
    """Return the decoded images of a batch, and those that could be read as a canvas, if the engine takes it."""
    decoded = reader.decode(batch.records)
    readable = [image for image in decoded if isinstance(image, np.ndarray)]
    return decoded, engine.canvas(readable) if isinstance(engine, PreparesAhead) and readable else None


def read_batch(batch: Batch, reader: ImageReader) -> tuple[Batch, Arrays]:
    """Read the maps of a batch from their files. The images themselves are only compared with the manifest."""
    maps, reasons = [], []
    for record, file, digest in zip(batch.records, batch.map_files, batch.batch_digests, strict=True):
        try:
            reader.read(record)
            maps.append(_iuv_map(record, file.read(record), digest))
            reasons.append("")
        except ImageError as error:
            if not reader.skip_broken:
                raise
            maps.append(_skipped_map(record))
            reasons.append(str(error))
    return batch, pack(maps, reasons)


def compute_batch(
    engine: Engine,
    records: Sequence[Record],
    decoded: Sequence[np.ndarray | ImageError],
    canvas: Canvas | None = None,
) -> Arrays:
    """Return the maps that the network computes for one batch, without the images that could not be read.

    Args:
        canvas: of the readable images, if the engine takes one.
    """
    readable = {index: image for index, image in enumerate(decoded) if isinstance(image, np.ndarray)}
    images = list(readable.values())
    extracted: dict[int, Extracted] = {}
    with out_of_memory_explained(records[0].key):
        if isinstance(engine, PreparesAhead) and canvas is not None:
            extracted = dict(zip(readable, engine.extract(images, canvas), strict=True))
        elif readable:
            extracted = dict(zip(readable, engine.extract(images), strict=True))
    # The network saw a smaller batch than planned. No plan has its digest: the next run makes these maps again.
    digest = batch_digest(records[index] for index in readable)
    maps = [
        _iuv_map(record, extracted[index], digest) if index in extracted else _skipped_map(record)
        for index, record in enumerate(records)
    ]
    return pack(maps, ["" if index in extracted else str(error) for index, error in enumerate(decoded)])


@contextmanager
def out_of_memory_explained(first: str) -> Iterator[None]:
    """Turn "out of memory" into an EngineError with the remedy; `first` is the batch's first key."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise EngineError(
                f"Out of memory on the batch that begins with {first}. Use a smaller batch: --batch 4."
            ) from None
        raise


def _iuv_map(record: Record, extracted: Extracted, digest: str) -> IuvMap:
    return IuvMap(
        extracted.iuv,
        extracted.score,
        extracted.box,
        extracted.status,
        record.digest,
        digest,
        extracted.fine,
        extracted.confidence,
        extracted.image_confidence,
        extracted.has_uv,
    )


def _skipped_map(record: Record) -> IuvMap:
    """Return the map of an image that could not be read. No plan has its batch digest, so that it is tried again."""
    empty = Extracted.no_person(record.height, record.width)
    return _iuv_map(record, empty, digest_of(["skipped", record.digest]))
