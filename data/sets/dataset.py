"""What is known of a dataset: how to list its pictures, how to come by it, what its authors counted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

from dsa_app.errors import DatasetError

from ..records import Entry

Scan = Callable[[Path], list[Entry]]


@dataclasses.dataclass(frozen=True)
class Count:
    """Pictures and identities, as published; distractors are no identity."""

    pictures: int
    identities: int


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset under one of its protocols.

    Attributes:
        scan: lists the pictures of the manifest below the dataset's folder.
        source: how to come by it, a sentence.
        folder: where it lies, under the parent of all datasets.
        published: the counts of each split; empty where nothing was published.
        together: the count over all splits, where a protocol has several divisions and none was counted.
        cameras: how many there are, over all splits.
        gallery: "single-shot" if the protocol draws one gallery picture of each identity, several times over.
        inner: what the authors call the folder in their archive; it may be left as it is, below `folder`.
        more: lists further protocols by name, each a manifest of its own (docs/formats.md, Protocols).
    """

    scan: Scan
    title: str
    source: str
    folder: str
    published: Mapping[str, Count] = dataclasses.field(default_factory=dict)
    together: Count | None = None
    cameras: int | None = None
    gallery: Literal["whole", "single-shot"] = "whole"
    inner: tuple[str, ...] = ()
    more: Callable[[Path], dict[str, list[Entry]]] | None = None

    def root(self, parent: Path) -> Path:
        """Return the folder that its pictures' keys start from. Raises DatasetError if there are two."""
        place = parent / self.folder
        there = [name for name in self.inner if (place / name).is_dir()]
        if len(there) > 1:
            raise DatasetError(f"{place} holds {' and '.join(there)}: which is meant? Move one of them elsewhere.")
        return place / there[0] if there else place


def published(train: tuple[int, int], query: tuple[int, int], gallery: tuple[int, int]) -> dict[str, Count]:
    """Return the counts of the three splits, each given as (pictures, identities)."""
    return {"train": Count(*train), "query": Count(*query), "gallery": Count(*gallery)}
