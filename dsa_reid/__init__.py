"""Deployment of DSA-reID: the main stream without its guide.

    model = dsa_reid.load("model.pt")
    features = model.embed(crops)
    distmat = dsa_reid.distances(features, gallery)

Needs torch, torchvision and NumPy, and nothing else of this project; FAISS and ONNX only for `build_index` and `export`
to ONNX. The modules are imported when a name is first used, so that `import dsa_reid` itself is instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .body import REGION_NAMES
    from .calibration import Calibration
    from .config import MainStreamConfig
    from .errors import ModelError
    from .exports import check, export, load_exported
    from .hub_model import from_pretrained, push_to_hub, save_pretrained
    from .main_stream import Features, MainStream
    from .metric import Unseen, distances, join, usual_distances, visible_distances
    from .model import Model, digest_of, load, save
    from .nearest import Ranking, build_index, search, search_index
    from .preprocessing import Preprocessing
    from .regions import Explanation, explain, region_distances
    from .visible import Proved, VisibleRows, describe, search_visible_index, seen_in_both, visible_search

__all__ = [
    "REGION_NAMES",
    "Calibration",
    "Explanation",
    "Features",
    "MainStream",
    "MainStreamConfig",
    "Model",
    "ModelError",
    "Preprocessing",
    "Proved",
    "Ranking",
    "Unseen",
    "VisibleRows",
    "build_index",
    "check",
    "describe",
    "digest_of",
    "distances",
    "explain",
    "export",
    "from_pretrained",
    "join",
    "load",
    "load_exported",
    "push_to_hub",
    "region_distances",
    "save",
    "save_pretrained",
    "search",
    "search_index",
    "search_visible_index",
    "seen_in_both",
    "usual_distances",
    "visible_distances",
    "visible_search",
]

_MODULE_OF = {
    "Calibration": "calibration",
    "REGION_NAMES": "body",
    "MainStreamConfig": "config",
    "ModelError": "errors",
    **dict.fromkeys(["check", "export", "load_exported"], "exports"),
    **dict.fromkeys(["Features", "MainStream"], "main_stream"),
    **dict.fromkeys(["Unseen", "distances", "join", "usual_distances", "visible_distances"], "metric"),
    **dict.fromkeys(["Model", "digest_of", "load", "save"], "model"),
    **dict.fromkeys(["Ranking", "build_index", "search", "search_index"], "nearest"),
    "Preprocessing": "preprocessing",
    **dict.fromkeys(["from_pretrained", "push_to_hub", "save_pretrained"], "hub_model"),
    **dict.fromkeys(["Explanation", "explain", "region_distances"], "regions"),
    **dict.fromkeys(
        ["Proved", "VisibleRows", "describe", "search_visible_index", "seen_in_both", "visible_search"], "visible"
    ),
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
