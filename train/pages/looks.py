"""Where the features of a run look in some queries: heat maps of their shares, as small images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dsa_app.errors import DsaError
from dsa_data import images
from dsa_reid.model import load

from ..explain.features import feature_names
from ..explain.heat_maps import under
from ..explain.shares import feature_shares
from .pictures import QUALITY, data_uri, fitted


@dataclasses.dataclass(frozen=True)
class Look:
    """A query with its heat maps.

    Args:
        key: of the query.
        features: name and image, as a data URI, of each feature: "global", then the eight regions.
    """

    key: str
    features: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class Looks:
    """The heat maps of a run; without any, `reason` says why."""

    shown: Sequence[Look] = ()
    reason: str = ""


def looks(source: Path, root: Path, keys: Sequence[str]) -> Looks:
    """Return the heat maps of a run's model on some images, computed on the CPU.

    A heat map shows the part of a feature's squared length that comes from each position (`dsa_train.explain.shares`).

    Args:
        source: the run's folder, or its model.pt.
        root, keys: the images' folder, and their paths in it.
    """
    path = source if source.is_file() else source / "model.pt"
    if not path.is_file():
        return Looks(reason=f"{path} does not exist")
    try:
        model = load(path, "cpu")
        seen = [images.read(root / key) for key in keys]
        resized = torch.stack([model.preprocessing.resize(torch.from_numpy(image)) for image in seen])
        with torch.inference_mode():
            maps = feature_shares(model.main_stream, model.preprocessing.normalise(resized)).numpy()  # (N, F, h, w)
    except DsaError as error:
        return Looks(reason=str(error))
    names = feature_names(model.main_stream.config.heads)
    return Looks([Look(key, _shown(names, image, of)) for key, image, of in zip(keys, seen, maps, strict=True)])


def _shown(names: Sequence[str], image: np.ndarray, maps: np.ndarray) -> list[tuple[str, str]]:
    small = fitted(image)
    return [
        (name, data_uri(images.encode_jpeg(under(small, values), QUALITY), "jpeg"))
        for name, values in zip(names, maps, strict=True)
    ]
