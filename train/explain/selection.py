"""Which networks are explained, on which images, and which images show how much the features of two people differ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dsa_app.config import suggestion
from dsa_app.errors import DatasetError
from dsa_app.wording import shown
from dsa_data.records import Record
from dsa_reid.model import Model, load

COMPARED = 64  # images by which the features of two people are compared


def read_models(paths: Sequence[Path], device: torch.device) -> dict[str, Model]:
    """Read models by their runs' names, or by their paths where two runs have the same name.

    Args:
        paths: folders of runs, or model files.
    """
    names = [(path if path.is_dir() else path.parent).name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return {
        name: load(path / "model.pt" if path.is_dir() else path, device)
        for name, path in zip(names, paths, strict=True)
    }


def select_images(records: Sequence[Record], keys: Sequence[str], count: int, seed: int) -> list[Record]:
    """Return the images with these keys or, without keys, `count` randomly sampled queries.

    Raises DatasetError for a key that the manifest does not list, or a manifest without queries.
    """
    if keys:
        by_key = {record.key: record for record in records}
        for key in keys:
            if key not in by_key:
                near = suggestion(key, by_key) if len(by_key) < 9999 else ""
                raise DatasetError(f"The manifest lists no image {shown(key)}.{near}")
        return [by_key[key] for key in keys]
    queries = [record for record in records if record.split == "query"]
    if not queries:
        raise DatasetError("The manifest lists no queries to sample from. Name images by their KEY.")
    return _sample(queries, count, seed)


def sample_people(records: Sequence[Record], splits: set[str], seed: int) -> list[Record]:
    """Return at most `COMPARED` sampled images of known people from some splits.

    Raises DatasetError for fewer than two people.
    """
    people = [record for record in records if record.split in splits and record.pid > 0]
    sampled = _sample(people, COMPARED, seed)
    if len({record.pid for record in sampled}) < 2:
        raise DatasetError(
            f"The {' and '.join(sorted(splits))} images of the manifest show fewer than two people, so features cannot "
            "be compared between people."
        )
    return sampled


def _sample(records: Sequence[Record], count: int, seed: int) -> list[Record]:
    indices = np.random.default_rng(seed).choice(len(records), min(count, len(records)), replace=False)
    return [records[index] for index in sorted(indices.tolist())]
