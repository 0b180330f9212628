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
from ..explain.heat_maps import with_heat_map
from ..explain.shares import feature_shares
from .pictures import QUALITY, data_uri, fitted


@dataclasses.dataclass(frozen=True)
class QueryHeatMaps:
    """A query with its heat maps.

    Args:
        key: of the query.
        features: name and image, as a data URI, of each feature: "global", then the eight regions.
    """

    key: str
    features: Sequence[tuple[str, str]]


@dataclasses.dataclass(frozen=True)
class RunHeatMaps:
    """The heat maps of a run; without any, `reason` says why."""

    queries: Sequence[QueryHeatMaps] = ()
    reason: str = ""


def run_heat_maps(source: Path, root: Path, keys: Sequence[str]) -> RunHeatMaps:
    """Return the heat maps of a run's model on some images, computed on the CPU.

    A heat map shows the part of a feature's squared length that comes from each position (`dsa_train.explain.shares`).

    Args:
        source: the run's folder, or its model.pt.
        root, keys: the images' folder, and their paths in it.
    """
    path = source if source.is_file() else source / "model.pt"
    if not path.is_file():
        return RunHeatMaps(reason=f"{path} does not exist")
    try:
        model = load(path, "cpu")
        seen = [images.read(root / key) for key in keys]
        resized = torch.stack([model.preprocessing.resize(torch.from_numpy(image)) for image in seen])
        with torch.inference_mode():
            maps = feature_shares(model.main_stream, model.preprocessing.normalise(resized)).numpy()  # (N, F, h, w)
    except DsaError as error:
        return RunHeatMaps(reason=str(error))
    names = feature_names(model.main_stream.config.heads)
    return RunHeatMaps(
        [QueryHeatMaps(key, _overlays(names, image, of)) for key, image, of in zip(keys, seen, maps, strict=True)]
    )


def _overlays(names: Sequence[str], image: np.ndarray, maps: np.ndarray) -> list[tuple[str, str]]:
    """Return each feature's name with the image under its heat map, as a data URI."""
    small = fitted(image)
    return [
        (name, data_uri(images.encode_jpeg(with_heat_map(small, values), QUALITY), "jpeg"))
        for name, values in zip(names, maps, strict=True)
    ]
