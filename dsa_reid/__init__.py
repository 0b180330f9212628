"""DSA-reID's main stream alone: what is deployed after training.

    model = dsa_reid.load("model.pt")
    features = model.embed(crops)
    distmat = dsa_reid.distances(features, gallery)

Needs torch, torchvision and NumPy, and nothing else of this project.
"""

from .distances import distances, join
from .errors import ModelError
from .main_stream import Features, MainStream, MainStreamConfig
from .model import Model, load, save
from .preprocessing import Preprocessing

__all__ = [
    "Features",
    "MainStream",
    "MainStreamConfig",
    "Model",
    "ModelError",
    "Preprocessing",
    "distances",
    "join",
    "load",
    "save",
]
