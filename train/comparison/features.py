"""Features of other programs, or of `dsa-train embed`, as query and gallery of a dataset: what `evaluate` takes too."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from ..evaluation.array_files import digest_of_arrays, read_arrays
from ..evaluation.config import EvaluateConfig
from ..evaluation.foreign import is_distances, of_distances, of_files
from ..evaluation.retrieval import Side
from ..foreign_stage import foreign_config


@dataclasses.dataclass(frozen=True)
class Files:
    """The files of one model's features.

    Args:
        path: a file or folder that `evaluation.array_files` reads; with `gallery`, of the queries alone.
        gallery: that of the gallery's features, where it is another.
        labels: the CSV of their labels; None for the file's own, or without these the dataset's manifest.
    """

    path: Path
    gallery: Path | None = None
    labels: Path | None = None


class Sides(NamedTuple):
    """Query and gallery of files of features, and the digests that other features and other labels do not have.

    Attributes:
        tested: digest of the table of labels; "" for labels of the features' own file.
        config: how they are evaluated, without what decides how features are made.
    """

    query: Side
    gallery: Side
    digest: str
    tested: str
    config: EvaluateConfig


def read_sides(files: Files, dataset: str, manifest: Path, config: EvaluateConfig) -> Sides | None:
    """Return query and gallery with the features, or distances, of files; None if they state another dataset.

    Args:
        manifest: of the dataset. It labels features that have no labels of their own. Rows of a feature store belong
            to its images by their keys and digests.

    Raises:
        DatasetError: for a file that is damaged, of another form, or does not fit its labels.
        ConfigError: for distances that need more than features.
    """
    file = read_arrays(files.path)
    if file.dataset not in ("", dataset):
        return None
    gallery = (read_arrays(files.gallery), files.gallery) if files.gallery else None
    distances = gallery is None and is_distances(file)
    if distances:
        found = of_distances((file, files.path), files.labels, manifest)
    else:
        found = of_files((file, files.path), files.labels, gallery, manifest)
    digests = [file.identity or digest_of_arrays(files.path)]
    digests += [digest_of_arrays(files.gallery)] if files.gallery else []
    digest = digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()
    tested = "" if found.table is None else hashlib.sha256(found.table.read_bytes()).hexdigest()
    defaults = EvaluateConfig()
    by_features = ["distance", "min_seen", "unseen", "tracklets"] if distances else []
    decided = ("match", "flip", "regions", "multiquery", *by_features)
    made = {name: getattr(defaults, name) for name in decided}
    own = foreign_config(dataclasses.replace(config, **made), distances)
    return Sides(*found.sides(own), digest, tested, own)
