"""One file of another program: its arrays of features, distances and labels by the names that programs give them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dsa_app.errors import DatasetError
from dsa_data.records import Record
from dsa_reid.model import VISIBILITY

from .array_files import WHOLE, ArrayFile, numbers
from .distmat import Rows
from .label_table import record
from .row_views import Beside

JUNK = -1  # identity of a gallery image that Market-1501's protocol leaves out of every ranking
LABELS = "Name a CSV with path, pid, camid, and split (query or gallery): --labels CSV."

# Names of query and gallery in one file. qf, gf: variables of torchreid's Engine, which its users save (its issue 236);
# query_f, query_label, query_cam: layumi's pytorch_result.mat; query_features, query_pids: fast-reid's ReidEvaluator.
FEATURES = {
    "query": ("qf", "query_f", "query_features", "query_feature", "q_features"),
    "gallery": ("gf", "gallery_f", "gallery_features", "gallery_feature", "g_features"),
}
PIDS = {
    "query": ("q_pids", "query_pids", "query_label", "query_labels"),
    "gallery": ("g_pids", "gallery_pids", "gallery_label", "gallery_labels"),
}
CAMIDS = {
    "query": ("q_camids", "query_camids", "query_cam", "query_cams"),
    "gallery": ("g_camids", "gallery_camids", "gallery_cam", "gallery_cams"),
}
VISIBILITIES = {"query": ("q_visibility", "query_visibility"), "gallery": ("g_visibility", "gallery_visibility")}
# What --write-distances adds to them: paths, SHA-256 and clothes of the images.
PATHS, DIGESTS, CLOTHES = (
    {side: (f"{side[0]}_{what}",) for side in FEATURES} for what in ("paths", "digests", "clothes")
)
DISTANCES = ("distmat", "dist", "dist_mat", "distances", "distance_matrix")
ONE_MATRIX = (WHOLE, "feats", "feat", "f", "embeddings")
ONE_VISIBILITY = ("visibility", "visibilities")
ONE_SPLIT = "split"  # words, "query" or "gallery", of each row of one matrix
ONE_PIDS, ONE_CAMIDS = ("pids", "pid", "labels", "label"), ("camids", "camid", "cams", "cam")


def named_array(file: ArrayFile, names: Iterable[str]) -> Rows | None:
    """Return the first array of a file that has one of some names, in any case."""
    lower = {name.lower(): array for name, array in file.arrays.items()}
    return next((lower[name] for name in names if name in lower), None)


def only_matrix(file: ArrayFile, path: Path) -> Rows:
    """Return the one matrix of a file: of a known name, or the only one. Raises DatasetError if it is not clear."""
    if (known := named_array(file, ONE_MATRIX)) is not None:
        return known
    others = {name: array for name, array in file.arrays.items() if name.lower() not in ONE_VISIBILITY}
    matrices = [array for array in others.values() if len(array.shape) == 2 and min(array.shape) > 1]
    if len(matrices) == 1:
        return matrices[0]
    raise DatasetError(
        f"{path} has the arrays {', '.join(sorted(file.arrays))[:200] or 'none'}. Expected features of query and "
        f"gallery ({' and '.join(names[0] for names in FEATURES.values())}), {ONE_MATRIX[0]}, or one matrix."
    )


def as_matrix(rows: Rows, path: Path) -> Rows:
    """Return rows (N, D); a tensor (N, D, 1, 1) or (N, P, D) is flattened. Raises DatasetError for another shape."""
    if len(rows.shape) == 2 and min(rows.shape) > 0:
        return rows
    if len(rows.shape) > 2 and min(rows.shape) > 0:
        return np.asarray(rows[0 : rows.shape[0]]).reshape(rows.shape[0], -1)
    raise DatasetError(f"{path} holds an array of shape {rows.shape}, expected a matrix with a row an image.")


def features_of(file: ArrayFile, path: Path, found: Rows, names: Iterable[str]) -> tuple[Rows, Mapping[str, int]]:
    """Return features (N, D) and the lengths of their parts; visibilities are their last columns.

    Args:
        names: of the visibilities (N, K) in a file of another program, beside the names of one matrix.

    The visibilities are of the whole feature, or of its K parts if the features are (N, K, L). Raises DatasetError for
    visibilities of another shape, and for those that are no numbers from 0 on.
    """
    rows = as_matrix(found, path)
    if file.parts or (stored := named_array(file, (*names, *ONE_VISIBILITY))) is None:
        return rows, file.parts
    seen = np.asarray(stored[0 : stored.shape[0]], np.float32)
    if seen.ndim != 2 or len(seen) != rows.shape[0] or not (np.isfinite(seen).all() and (seen >= 0).all()):
        raise DatasetError(
            f"{path} has visibilities of shape {stored.shape} for {rows.shape[0]} rows; expected a row of numbers from "
            "0 on for each."
        )
    by_part = len(found.shape) == 3 and found.shape[1] == seen.shape[1]
    parts = {"local" if by_part else WHOLE: rows.shape[1], VISIBILITY: seen.shape[1]}
    return Beside(rows, seen), parts


def has_labels(file: ArrayFile, side: str) -> bool:
    """Return whether a file has identities, cameras or splits: one that lacks the others of them is refused."""
    known = {*PIDS[side], *CAMIDS[side], *ONE_PIDS, *ONE_CAMIDS, ONE_SPLIT}
    return any(name.lower() in known for name in (*file.arrays, *file.words))


def own_labels(file: ArrayFile, path: Path, side: str, count: int) -> list[Record]:
    """Return the records of a file that has identities and cameras. Raises DatasetError if it has none that fit."""
    pids, camids = (
        _whole(named_array(file, (*named[side], *alone)), count, what, path)
        for named, alone, what in ((PIDS, ONE_PIDS, "identities"), (CAMIDS, ONE_CAMIDS, "cameras"))
    )
    width = len(str(count - 1))
    keys = _words(file, PATHS[side], count, "paths", path) or [f"{side}/{n:0{width}}" for n in range(count)]
    digests = _words(file, DIGESTS[side], count, "digests", path) or [""] * count
    worn = named_array(file, CLOTHES[side])
    clothes = [0] * count if worn is None else _whole(worn, count, "clothes", path)
    return [
        dataclasses.replace(record(key, side, pid, camid, str(path), digest), clothes=outfit)
        for key, pid, camid, digest, outfit in zip(keys, pids, camids, digests, clothes, strict=True)
    ]


def own_table(file: ArrayFile, path: Path, count: int) -> list[Record]:
    """Return the records of one matrix of `count` rows by the file's own words and numbers.

    Raises DatasetError if it has none that fit.
    """
    splits = [word.strip().lower() for word in file.words.get(ONE_SPLIT, [])]
    if not splits:
        raise DatasetError(f"{path} does not say which of its rows are queries. {LABELS}")
    if len(splits) != count:
        raise DatasetError(f"{path} has {len(splits)} words of {ONE_SPLIT!r} for {count} rows. {LABELS}")
    own = own_labels(file, path, "query", count)
    return [dataclasses.replace(one, split=split) for one, split in zip(own, splits, strict=True)]


def _words(file: ArrayFile, names: Iterable[str], count: int, what: str, path: Path) -> Sequence[str]:
    """Return the first list of words of a file that has one of some names; empty if it has none.

    Raises DatasetError unless there are `count`.
    """
    found = next((file.words[name] for name in names if name in file.words), [])
    if found and len(found) != count:
        raise DatasetError(f"{path} has {len(found)} {what} for {count} rows. {LABELS}")
    return found


def _whole(rows: Rows | None, count: int, what: str, path: Path) -> list[int]:
    """Return `count` whole numbers in an array. Raises DatasetError if they are missing, others, or not whole."""
    if rows is None:
        raise DatasetError(f"{path} has no {what} for its rows. {LABELS}")
    array = numbers(np.asarray(rows[0 : rows.shape[0]]))
    flat = np.empty(0) if array is None else array.reshape(-1)
    if len(flat) != count or not np.array_equal(flat, np.rint(flat)):
        raise DatasetError(
            f"{path} has {len(flat)} {what} for {count} rows; expected a whole number for each. {LABELS}"
        )
    if flat.min() < JUNK:
        raise DatasetError(f"{path} has {what} below {JUNK}. {LABELS}")
    return [int(one) for one in flat]
