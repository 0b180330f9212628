"""What an existing store is good for: nothing to do, some maps to take over, or a reason to refuse."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dsa_app.errors import StoreError
from dsa_data.records import Record
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvStore
from dsa_data.stores.pieces import Pieces
from dsa_data.stores.reuse import open_reusable

from .plan import Piece


def before(out: Path, dataset: str, identity: dict[str, Any], overwrite: bool) -> IuvStore | None:
    """Return the store that is at `out` if its maps may be taken over.

    Args:
        identity: the engine's.
        overwrite: whether a damaged store, or one of other settings, may be replaced.

    Raises StoreError if it may not.
    """
    remedy = "Replace it with --overwrite, or keep both: --out OTHER.h5"
    return open_reusable(out, IuvStore, Header(dataset, identity, ""), remedy, overwrite)


def sort_out(
    store: IuvStore | None, records: Sequence[Record], pieces: Sequence[Piece], verify: bool
) -> tuple[dict[int, int], list[Piece]]:
    """Return where `store` holds maps that still hold, by their place in the manifest, and the pieces yet to be made.

    Args:
        verify: read the maps, so that damaged ones are made again.
    """
    kept: dict[int, int] = {}
    todo = []
    for piece in pieces:
        there = _held(store, records, piece, verify) if store else None
        if there is None:
            todo.append(piece)
        else:
            kept.update(zip(piece.places, there, strict=True))
    return kept, todo


def _held(store: IuvStore, records: Sequence[Record], piece: Piece, verify: bool) -> list[int] | None:
    """Return where the maps of a piece are; None unless all are there, decided by the same inputs."""
    places = []
    for place, unit in zip(piece.places, piece.units, strict=True):
        record = records[place]
        if record.key not in store:
            return None
        there = store.index(record.key)
        if (store.batch_digests[there], store.digests[there]) != (unit, record.digest):
            return None
        places.append(there)
    try:
        for there in places if verify else []:
            store.read(there)
    except StoreError:
        return None
    return places


def drop_leftovers(out: Path, identity: dict[str, Any]) -> None:
    """Remove the pieces of a run that was killed after it had put its output in place."""
    folder = Pieces(out, identity).folder
    if not folder.exists():
        return
    try:
        with Pieces(out, identity) as left:
            shutil.rmtree(left.folder)
    except StoreError:
        return  # they belong to a run with other settings, which may want to go on
