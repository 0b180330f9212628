"""DSA-reID's main stream alone: what is deployed after training.

    model = dsa_reid.load("model.pt")
    features = model.embed(crops)
    distmat = dsa_reid.distances(features, gallery)

Needs torch, torchvision and NumPy, and nothing else of this project; FAISS and ONNX only for `build_index` and `export`
to ONNX.
"""

from .distances import distances, join
from .errors import ModelError
from .export import check, export, load_exported
from .main_stream import Features, MainStream, MainStreamConfig
from .model import Model, digest_of, load, save
from .preprocessing import Preprocessing
from .regions import REGION_NAMES, Explanation, explain, region_distances
from .search import Ranking, build_index, search, search_index

__all__ = [
    "REGION_NAMES",
    "Explanation",
    "Features",
    "MainStream",
    "MainStreamConfig",
    "Model",
    "ModelError",
    "Preprocessing",
    "Ranking",
    "build_index",
    "check",
    "digest_of",
    "distances",
    "explain",
    "export",
    "join",
    "load",
    "load_exported",
    "region_distances",
    "save",
    "search",
    "search_index",
]
