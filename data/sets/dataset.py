"""The definition of a dataset: how to list its images, where to get it, its published counts."""

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
    """Numbers of images, identities and tracklets; distractors are not an identity. None is an unknown number."""

    images: int | None = None
    identities: int | None = None
    tracklets: int | None = None


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset under one of its protocols.

    Attributes:
        scan: returns the entries of the images in the dataset's folder.
        source: where to get it, a sentence.
        folder: its folder, under the parent folder of all datasets.
        published: the published counts of each split; empty if none were published.
        total: the published count over all splits, for a protocol whose splits were not counted one by one.
        cameras: their number, over all splits.
        persons: whose images they are, where other datasets show the same people; "" for a name's part before "-".
        gallery: "single-shot" if the protocol samples one gallery image of each identity, in several rounds.
        archive_folders: names of the folder in the authors' archive; it may stay, below `folder`.
        protocols: returns the entries of further protocols by name, each a manifest of its own (docs/formats.md).
    """

    scan: Scan
    title: str
    source: str
    folder: str
    published: Mapping[str, Count] = dataclasses.field(default_factory=dict)
    total: Count | None = None
    cameras: int | None = None
    persons: str = ""
    gallery: Literal["whole", "single-shot"] = "whole"
    archive_folders: tuple[str, ...] = ()
    protocols: Callable[[Path], dict[str, list[Entry]]] | None = None

    def root(self, parent: Path) -> Path:
        """Return the folder that the images' keys are relative to. Raises DatasetError if there are two."""
        folder = parent / self.folder
        present = [name for name in self.archive_folders if (folder / name).is_dir()]
        if len(present) > 1:
            raise DatasetError(f"{folder} has both {' and '.join(present)}. Move one of them elsewhere.")
        return folder / present[0] if present else folder


def published(train: tuple[int, int], query: tuple[int, int], gallery: tuple[int, int]) -> dict[str, Count]:
    """Return the counts of the three splits, each given as (images, identities)."""
    return {"train": Count(*train), "query": Count(*query), "gallery": Count(*gallery)}
