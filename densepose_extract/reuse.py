"""The maps of an existing store that this run need not make again."""

from __future__ import annotations

from collections.abc import Iterable

from dsa_app.errors import StoreError
from dsa_data.stores.iuv import IuvStore

from .plan import Batch


def split(batches: Iterable[Batch], existing: IuvStore | None, verify: bool) -> tuple[dict[int, int], list[Batch]]:
    """Divide batches into those whose maps the existing store holds, and those that are to be made.

    Args:
        existing: the store that is at the output's path, made with the same settings; None if there is none.
        verify: read the maps, so that damaged ones are made again.

    Returns:
        For each image whose map is reused, its index in the manifest with that in the existing store; and the batches
        to make.
    """
    reused: dict[int, int] = {}
    to_make = []
    for batch in batches:
        indices = _indices_in(existing, batch, verify) if existing else None
        if indices is None:
            to_make.append(batch)
        else:
            reused.update(zip(batch.indices, indices, strict=True))
    return reused, to_make


def _indices_in(store: IuvStore, batch: Batch, verify: bool) -> list[int] | None:
    """Return the indices of a batch's maps in a store; None unless it holds all of them, made from the same inputs."""
    indices = []
    for record, digest in zip(batch.records, batch.batch_digests, strict=True):
        if record.key not in store:
            return None
        index = store.index(record.key)
        if (store.batch_digests[index], store.digests[index]) != (digest, record.digest):
            return None
        indices.append(index)
    try:
        for index in indices if verify else []:
            store.read(index)
    except StoreError:
        return None
    return indices
