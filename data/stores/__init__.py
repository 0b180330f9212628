"""The HDF5 stores: I, U, V maps, DSAP tensors, features. docs/formats.md describes each."""

from dsa_app.errors import StoreError

from .dsap import DsapStore
from .features import FeatureStore, write_features
from .header import Header
from .iuv import IuvStore

__all__ = ["DsapStore", "FeatureStore", "Header", "IuvStore", "StoreError", "write_features"]
