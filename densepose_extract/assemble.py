"""The store written from the maps that were reused and those that were made."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dsa_app.console import progress
from dsa_data.records import Record
from dsa_data.stores.iuv import IuvMap, IuvStore, write_iuv
from dsa_data.stores.pieces import Pieces
from dsa_reid.atomic import atomic

from .packed import Packed
from .plan import Batch, Plan, inputs_digest

INCOMPLETE = "-incomplete"  # ends the name of a piece in which images were skipped


@dataclasses.dataclass(frozen=True)
class Source:
    """Where the map of one image is.

    Attributes:
        maps: the existing store, or the maps of a piece.
        index: of the image in it.
    """

    maps: IuvStore | Packed
    index: int

    def read(self) -> IuvMap:
        """Return the map. Raises StoreError if it is damaged."""
        return self.maps.read(self.index)

    @property
    def batch_digest(self) -> str:
        """SHA-256 of all that decided the map."""
        return self.maps.batch_digests[self.index]

    @property
    def skip_reason(self) -> str:
        """Why the image was skipped; empty if it was not."""
        return self.maps.reasons[self.index] if isinstance(self.maps, Packed) else ""


def piece_name(batch: Batch, skipped: bool) -> str:
    """Return the name of a batch's piece, with or without skipped images in it."""
    return batch.name + INCOMPLETE if skipped else batch.name


def delete_incomplete(pieces: Pieces) -> None:
    """Delete pieces with skipped images: the images may have been fixed, or may no longer be skipped."""
    for path in pieces.folder.glob(f"*{INCOMPLETE}.npz"):
        path.unlink()


def find_sources(
    plan: Plan, existing: IuvStore | None, reused: Mapping[int, int], pieces: Pieces, made: Iterable[Batch]
) -> list[Source]:
    """Return where each image's map is, in the order of the manifest. Raises StoreError for a damaged piece.

    Args:
        reused: for images whose map is reused, the index in the manifest with that in `existing`.
        made: batches whose pieces are in `pieces`.
    """
    sources = {index: Source(existing, there) for index, there in reused.items()} if existing else {}
    for batch in made:
        packed = Packed(pieces.read(piece_name(batch, skipped=not pieces.has(batch.name))))
        sources.update((index, Source(packed, there)) for there, index in enumerate(batch.indices))
    return [sources[index] for index in range(len(plan.records))]


def assemble(plan: Plan, sources: Sequence[Source], pieces: Pieces) -> None:
    """Write the store, and delete the pieces."""
    # Maps of skipped images have batch digests other than planned ones, and so has the store's header.
    inputs = inputs_digest(plan.records, [source.batch_digest for source in sources])
    header = dataclasses.replace(plan.header, inputs=inputs)
    keys = [record.key for record in plan.records]
    shapes = np.array([(record.height, record.width) for record in plan.records])
    maps = (source.read() for source in sources)  # one at a time is in memory

    # The engine's identity says what its maps hold (`engine.identity_of_content`).
    content = header.configuration.get("bits", 8), header.configuration.get("confidence", "none")

    def write(path: Path) -> None:
        write_iuv(path, header, keys, shapes, progress(maps, len(keys), "writing"), *content)

    pieces.assemble(write)


def write_skipped(out: Path, records: Sequence[Record], sources: Sequence[Source]) -> dict[str, str]:
    """Write which images were skipped and why to `<out>.skipped.csv`, or delete it if none was; return it by key."""
    reasons = {record.key: source.skip_reason for record, source in zip(records, sources, strict=True)}
    skipped = {key: reason for key, reason in reasons.items() if reason}
    path = out.with_suffix(".skipped.csv")
    if skipped:
        with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("key", "reason"), *skipped.items()])
    else:
        path.unlink(missing_ok=True)
    return skipped
