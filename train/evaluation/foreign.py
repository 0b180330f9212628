"""Features or distances that other programs made, with their labels, as query and gallery.

Three forms are read, see docs/evaluation.md: a file that has query and gallery under names of their own, as layumi's
pytorch_result.mat and what torchreid's users save; one matrix of features with a table, or an array `split` of words,
that says of each row whether it is a query; and a matrix of distances, a row a query.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from dsa_app.errors import DatasetError
from dsa_data.records import Record
from dsa_reid.config import REGIONS
from dsa_reid.model import VISIBILITY

from .array_files import WHOLE, ArrayFile, read_arrays
from .config import EvaluateConfig
from .distmat import Rows
from .foreign_arrays import (
    DISTANCES,
    FEATURES,
    JUNK,
    ONE_MATRIX,
    VISIBILITIES,
    as_matrix,
    features_of,
    has_labels,
    named_array,
    only_matrix,
    own_labels,
    own_table,
)
from .label_table import knows_image, read_table, split_rows
from .retrieval import Side, by_tracklet, camera_numbers
from .row_views import Selected

Opened = tuple[ArrayFile, Path]


@dataclasses.dataclass(frozen=True)
class Foreign:
    """Query and gallery of another program, with features or with distances.

    Args:
        q_records, g_records: Q and G; their digests are those of their paths, their sizes unknown.
        q_features, g_features: (Q, D) and (G, D); None where there are distances.
        distances: (Q, G), smaller is nearer; None where there are features.
        table: the CSV that the labels are of; None where the file has its own.
        q_parts, g_parts: of a feature, by their lengths in order, where they are known: of files of `dsa-train embed`,
            and of those with visibilities, which are its last columns.
    """

    q_records: Sequence[Record]
    g_records: Sequence[Record]
    q_features: Rows | None = None
    g_features: Rows | None = None
    distances: Rows | None = None
    table: Path | None = None
    q_parts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    g_parts: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def sides(self, config: EvaluateConfig) -> tuple[Side, Side]:
        """Return query and gallery as `retrieval.compare` and `rankings.rankings` take them, tracklets pooled.

        Raises DatasetError for settings that need visibilities or tracklets which the files do not have.
        """
        if self.distances is not None:
            none: Rows = np.empty((0, 0), np.float32)
            query, gallery = (
                Side(none, records, camera_numbers(records, config)) for records in (self.q_records, self.g_records)
            )
            return dataclasses.replace(query, distances=self.distances), gallery
        self._check(config)
        own = (self.q_features, self.q_records, self.q_parts), (self.g_features, self.g_records, self.g_parts)
        query, gallery = (_side(rows, records, parts, config) for rows, records, parts in own if rows is not None)
        return query, gallery

    def _check(self, config: EvaluateConfig) -> None:
        parts = [self.q_parts, self.g_parts]
        embed = "dsa-train embed --dataset NAME --split query --split gallery --visibility --out FILE"
        remedy = f"Embed them with those of regions: {embed}; or set "
        if config.distance == "visible" and not (parts[0] == parts[1] and _by_regions(parts[0])):
            raise DatasetError(
                "evaluate.distance=visible compares eight regions by their visibilities, and the features have none. "
                f"{remedy}evaluate.distance=euclidean."
            )
        if config.tracklets not in ("best", "visible"):
            return
        if not all(any(one.tracklet for one in records) for records in (self.q_records, self.g_records)):
            raise DatasetError(
                f"evaluate.tracklets={config.tracklets} needs tracklets, and query or gallery have none. Name a CSV "
                "with a column tracklet: --labels CSV."
            )
        if not all(VISIBILITY in one for one in parts):
            raise DatasetError(
                f"evaluate.tracklets={config.tracklets} needs visibilities, and the features have none. "
                f"{remedy}evaluate.tracklets=mean."
            )


def _by_regions(parts: Mapping[str, int]) -> bool:
    """Return whether features of these parts can be compared by the visibilities of the eight regions."""
    return "local" in parts and parts.get(VISIBILITY) == REGIONS and parts["local"] % REGIONS == 0


def _side(rows: Rows, records: Sequence[Record], parts: Mapping[str, int], config: EvaluateConfig) -> Side:
    """Return query or gallery with a row a tracklet, and visibilities only where they are compared."""
    width = rows.shape[1]
    side = Side(rows, records, camera_numbers(records, config), parts or {WHOLE: width})
    side = by_tracklet(side, config, any_length=True)
    if config.distance == "visible":
        return side
    if side.features.shape[1] == width and VISIBILITY in parts:
        side = dataclasses.replace(side, features=Selected(rows, None, np.arange(width - parts[VISIBILITY])))
    return dataclasses.replace(side, parts={})


def read_features(path: Path, labels: Path | None = None, gallery: Path | None = None) -> Foreign:
    """Return the features in a file with their labels.

    Args:
        path: a file, or a folder of .npy files, see `array_files`; with `gallery`, of the queries alone.
        labels: a CSV with path, pid, camid, and split; a manifest is one. None for a file that has its labels.
        gallery: the file of the gallery's features, where it is another.

    Rows of a file that names them (`dsa-train embed`'s, a folder) are found by path, all others are in the table's
    order. Gallery images of identity -1 are left out.

    Raises DatasetError for a file that is missing, damaged, of another form, or does not fit its labels.
    """
    return of_files((read_arrays(path), path), labels, (read_arrays(gallery), gallery) if gallery else None)


def of_files(file: Opened, labels: Path | None, gallery: Opened | None = None, manifest: Path | None = None) -> Foreign:
    """Return the features in files that are open, with their labels; errors as for `read_features`.

    Args:
        manifest: the table for files that have no labels of their own, where no other is given.
    """
    sides = {"query": file, "gallery": gallery or file}
    named = {side: named_array(one, FEATURES[side]) for side, (one, _) in sides.items()}
    whole = gallery is None and any(rows is None for rows in named.values())
    if labels is None and not any(has_labels(file, side) for side, (file, _) in sides.items()):
        labels = manifest
    if whole:
        return _without_junk(_of_one_matrix(*file, labels))
    features = {
        side: features_of(file, where, only_matrix(file, where) if own is None else own, VISIBILITIES[side])
        for (side, (file, where)), own in zip(sides.items(), named.values(), strict=True)
    }
    rows = {side: own for side, (own, _) in features.items()}
    if labels is None:
        records = {side: own_labels(*one, side, rows[side].shape[0]) for side, one in sides.items()}
    else:
        records = _by_table(sides, rows, labels)
    found = Foreign(records["query"], records["gallery"], rows["query"], rows["gallery"], table=labels)
    return _without_junk(dataclasses.replace(found, q_parts=features["query"][1], g_parts=features["gallery"][1]))


def read_distances(path: Path, labels: Path | None = None) -> Foreign:
    """Return the distances in a file with their labels; arguments and errors as for `read_features`.

    A row is a query, a column a gallery image, both in the table's order.
    """
    return of_distances((read_arrays(path), path), labels)


def is_distances(file: ArrayFile) -> bool:
    """Return whether a file that is open has distances under one of their names, and no features under theirs."""
    features = [name for names in FEATURES.values() for name in names]
    return named_array(file, DISTANCES) is not None and named_array(file, (*features, *ONE_MATRIX)) is None


def of_distances(opened: Opened, labels: Path | None, manifest: Path | None = None) -> Foreign:
    """Return the distances in a file that is open; arguments and errors as for `of_files`."""
    file, path = opened
    if labels is None and not any(has_labels(file, side) for side in FEATURES):
        labels = manifest
    named = named_array(file, DISTANCES)
    rows = as_matrix(only_matrix(file, path) if named is None else named, path)
    if labels is not None:
        table = read_table(labels)
        query, gallery = split_rows(table, labels)
        records = [table[n] for n in query], [table[n] for n in gallery]
    else:
        records = own_labels(file, path, "query", rows.shape[0]), own_labels(file, path, "gallery", rows.shape[1])
    if rows.shape != (len(records[0]), len(records[1])):
        raise DatasetError(
            f"{path} has distances of shape {rows.shape}, its labels list {len(records[0])} queries and "
            f"{len(records[1])} gallery images. Expected a row a query and a column a gallery image."
        )
    return _without_junk(Foreign(*records, distances=rows, table=labels))


def _by_table(files: Mapping[str, Opened], rows: dict[str, Rows], labels: Path) -> dict[str, list[Record]]:
    """Return the records of two matrices, in the order of their rows; those that a file names are found by path."""
    table = read_table(labels)
    listed = dict(zip(FEATURES, split_rows(table, labels), strict=True))
    records = {side: [table[n] for n in indices] for side, indices in listed.items()}
    for side, own in records.items():
        if files[side][0].keys is not None:
            places = _places(own, *files[side], labels)
            rows[side] = Selected(rows[side], places)
        elif rows[side].shape[0] != len(own):
            raise DatasetError(
                f"{labels} lists {len(own)} rows of split {side}, the features have {rows[side].shape[0]}."
            )
    return records


def _of_one_matrix(file: ArrayFile, path: Path, labels: Path | None) -> Foreign:
    """Return query and gallery of one matrix of features, by a table or by the words of the file itself."""
    rows, parts = features_of(file, path, only_matrix(file, path), ())
    if labels is None:
        table = own_table(file, path, rows.shape[0])
        labels_of, own = path, None
    else:
        table = read_table(labels)
        labels_of = own = labels
    query, gallery = split_rows(table, labels_of)
    some = sorted([*query, *gallery])
    if file.keys is not None:
        places = dict(zip(some, _places([table[n] for n in some], file, path, labels_of), strict=True))
    elif rows.shape[0] == len(table):
        places = {n: np.int64(n) for n in some}
    elif rows.shape[0] == len(some):  # the table lists training images too
        places = {n: np.int64(place) for place, n in enumerate(some)}
    else:
        raise DatasetError(
            f"{path} has {rows.shape[0]} rows, {labels_of} lists {len(table)}, {len(some)} of them of query and "
            "gallery. Expected one row for each, in the table's order."
        )
    sides = [Selected(rows, np.array([places[n] for n in one])) for one in (query, gallery)]
    records = [table[n] for n in query], [table[n] for n in gallery]
    return Foreign(*records, sides[0], sides[1], table=own, q_parts=parts, g_parts=parts)


def _places(records: Sequence[Record], file: ArrayFile, path: Path, labels: Path) -> NDArray[np.int64]:
    """Return the row of each record in a file that names its rows.

    Raises DatasetError for one that it lacks, or that is of another image than the one listed.
    """
    index = {key: n for n, key in enumerate(file.keys or ())}
    names = [PurePosixPath(one.key).stem if file.stems else one.key for one in records]
    again = f"Embed them: dsa-train embed --dataset NAME --split query --split gallery --out {path} --overwrite"
    if file.digests is not None:
        for one in records:
            row = index.get(one.key)
            if row is not None and knows_image(one) and file.digests[row] != one.digest:
                raise DatasetError(f"{path} has the feature of another {one.key} than {labels} lists. {again}")
    if missing := [name for name in names if name not in index]:
        raise DatasetError(
            f"The features lack {len(missing)} of {len(names)} images that {labels} lists, first {missing[0]}. "
            + (f"Name the table of these images. {again}" if file.digests else "Name the table of these images.")
        )
    return np.array([index[name] for name in names], np.int64)


def _without_junk(foreign: Foreign) -> Foreign:
    """Return query and gallery without gallery images of identity -1."""
    kept = np.array([n for n, one in enumerate(foreign.g_records) if one.pid != JUNK], np.int64)
    if len(kept) == len(foreign.g_records):
        return foreign
    return dataclasses.replace(
        foreign,
        g_records=[foreign.g_records[n] for n in kept],
        g_features=None if foreign.g_features is None else Selected(foreign.g_features, kept),
        distances=None if foreign.distances is None else Selected(foreign.distances, None, kept),
    )
