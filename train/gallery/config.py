"""Which search engines a gallery can be searched by; importing this imports neither torch nor FAISS."""

from __future__ import annotations

from typing import Literal

Engine = Literal["numpy", "flat", "ivf", "hnsw"]
"""Exact search by NumPy, or the kind of a FAISS index, see `dsa_reid.build_index`."""
