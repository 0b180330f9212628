"""Making the maps of a piece: ready ones are read, others computed while the next pictures are being read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from dsa_app.errors import EngineError, ImageError
from dsa_data import images
from dsa_data.records import Record, read_listed
from dsa_data.stores.header import digest_of
from dsa_data.stores.iuv import IuvMap
from dsa_reid.read_ahead import read_ahead

from .engines.engine import Engine, Extracted
from .engines.maps import Maps
from .packed import pack
from .plan import Piece, batch_unit

AHEAD = 2  # batches read before the network asks for them, or one for each thread if that is more
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Pictures:
    """The pictures of some records under a root.

    Attributes:
        skip_broken: go on where one cannot be read: it gets an empty map, and the reason is kept.
    """

    records: Sequence[Record]
    root: Path
    skip_broken: bool = False

    def of(self, piece: Piece) -> Pictures:
        """Return the pictures of one piece alone."""
        return Pictures([self.records[place] for place in piece.places], self.root, self.skip_broken)

    def read(self, record: Record) -> bytes:
        """Return a picture's bytes. Raises ImageError if they are not those that the manifest lists."""
        return read_listed(self.root, record.key, record.digest)

    def decode(self) -> list[np.ndarray | ImageError]:
        """Return each picture, uint8 (H, W, 3), or why there is none. Raises that unless broken ones are skipped."""
        found: list[np.ndarray | ImageError] = []
        for record in self.records:
            try:
                found.append(images.decode(self.read(record), self.root / record.key))
            except ImageError as error:
                if not self.skip_broken:
                    raise
                found.append(error)
        return found


def make(
    pieces: Sequence[Piece], pictures: Pictures, engine: Engine | Maps, jobs: int = 1
) -> Iterator[tuple[Piece, Arrays]]:
    """Yield each piece with its arrays (`packed.pack`), in any order.

    Args:
        jobs: processes that read ready maps, or threads that read pictures for a network.

    Raises ImageError for a picture or map that cannot be read, EngineError where memory runs out.
    """
    if isinstance(engine, Maps):
        work: Callable[..., tuple[Piece, Arrays]] = joblib.delayed(read_maps)
        tasks = (work(piece, pictures.of(piece)) for piece in pieces)
        yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")(tasks)
        return
    threads = joblib.effective_n_jobs(jobs)
    decoded_pieces = read_ahead(lambda piece: pictures.of(piece).decode(), pieces, threads, max(AHEAD, threads))
    for piece, decoded in zip(pieces, decoded_pieces, strict=True):
        yield piece, compute(engine, pictures.of(piece).records, decoded)


def read_maps(piece: Piece, pictures: Pictures) -> tuple[Piece, Arrays]:
    """Read the ready maps of a piece; its pictures are only compared with what the manifest says of them."""
    maps, reasons = [], []
    for record, file, unit in zip(pictures.records, piece.files, piece.units, strict=True):
        try:
            pictures.read(record)
            maps.append(_stored(record, file.read(record), unit))
            reasons.append("")
        except ImageError as error:
            if not pictures.skip_broken:
                raise
            maps.append(_skipped(record))
            reasons.append(str(error))
    return piece, pack(maps, reasons)


def compute(engine: Engine, records: Sequence[Record], decoded: Sequence[np.ndarray | ImageError]) -> Arrays:
    """Have the network make the maps of one batch, without the pictures that could not be read."""
    fine = {place: picture for place, picture in enumerate(decoded) if isinstance(picture, np.ndarray)}
    unit = batch_unit([records[place] for place in fine])
    with memory_explained(records[0].key):
        answers = dict(zip(fine, engine.extract(list(fine.values())), strict=True)) if fine else {}
    maps = [
        _stored(record, answers[place], unit) if place in answers else _skipped(record)
        for place, record in enumerate(records)
    ]
    return pack(maps, ["" if place in answers else str(reason) for place, reason in enumerate(decoded)])


@contextmanager
def memory_explained(first: str) -> Iterator[None]:
    """Turn "out of memory" into an EngineError that says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        text = str(error).lower()
        if isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text:
            raise EngineError(
                f"Memory ran out on the batch that begins with {first}. Take fewer pictures at a time: --batch 4."
            ) from None
        raise


def _stored(record: Record, answer: Extracted, unit: str) -> IuvMap:
    return IuvMap(answer.iuv, answer.score, answer.box, answer.status, record.digest, unit)


def _skipped(record: Record) -> IuvMap:
    """Return the map of a picture that could not be read; its unit is that of no readable one, so it is tried again."""
    nobody = Extracted.no_person(record.height, record.width)
    return _stored(record, nobody, digest_of(["skipped", record.digest]))
