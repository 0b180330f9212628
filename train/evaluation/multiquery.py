"""Multi-query: all images of a person from the query's camera make one query (Zheng et al., ICCV 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from dsa_app.errors import TrainingError
from dsa_data.records import Record, read_manifest

from .config import EvaluateConfig

MULTIQUERY = "multiquery.csv"  # in the folder `protocols` beside the manifest
Shown = tuple[int, int]  # who is shown by which camera: (pid, camid)


def pooled(
    query: np.ndarray,
    query_shows: Sequence[Shown],
    more: np.ndarray,
    more_shows: Sequence[Shown],
    how: Literal["average", "maximum"],
) -> np.ndarray:
    """Return the features of multi-queries.

    Args:
        query: (Q, D), features of length L. A query without further images keeps its own feature.
        query_shows: Q identities and cameras.
        more: (M, D), features of the further images; where they include the query's own, as Market-1501's
            `gt_bbox` does, it counts as one of them.
        more_shows: M identities and cameras.
        how: the mean over all images of one person from one camera, or the maximum of each dimension.

    Returns:
        float32 (Q, D), each as long as the query's own feature.

    Raises TrainingError if no query has a further image.
    """
    result = np.array(query, np.float32)
    groups: dict[Shown, list[int]] = {}
    for index, shown in enumerate(more_shows):
        groups.setdefault(shown, []).append(index)
    if not any(shown in groups for shown in query_shows):
        raise TrainingError(
            "Multi-query needs further images of the queries' people from the queries' cameras, and there are none. "
            "Set evaluate.multiquery=off, or list the images again: dsa-data prepare."
        )
    for index, shown in enumerate(query_shows):
        if shown in groups:
            group = more[groups[shown]]
            pool = group.mean(axis=0) if how == "average" else group.max(axis=0)
            result[index] = pool * (np.linalg.norm(query[index]) / (np.linalg.norm(pool) or 1.0))
    return result


def read_multiquery(manifest: Path, config: EvaluateConfig) -> list[Record]:
    """Return the further images of the queries, for multi-query; none for single query."""
    if config.multiquery == "off":
        return []
    if config.match != "main":
        raise TrainingError(
            f"Multi-query is for --match main only: --match {config.match} needs part images, and the further images "
            "of the queries have none."
        )
    path = manifest.parent / "protocols" / MULTIQUERY
    if not path.exists():
        raise TrainingError(
            f"{path} is missing: multi-query needs further images of the queries, those of Market-1501's gt_bbox. Put "
            "that folder into the dataset and run dsa-data prepare again, or set evaluate.multiquery=off."
        )
    return read_manifest(path)
