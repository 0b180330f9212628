"""The head of the CSE models: for every pixel of the box a vector that is near to that of its vertex of the body.

Continuous Surface Embeddings (Neverova et al., NeurIPS 2020). The vertices are those of the mesh smpl_27554.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .charts import HEATMAP, deconvolution, double

DIMENSIONS = 16  # of a vector
VERTICES = 27_554
FEATURES = 256  # of a vertex: eigenfunctions of the Laplace-Beltrami operator, part of the checkpoint


@dataclass(frozen=True)
class Embedded:
    """The raw heads of D boxes, float32 on the network's device.

    Attributes:
        coarse_segm: (D, 2, 112, 112): background, body.
        embedding: (D, 16, 112, 112).
    """

    coarse_segm: Tensor
    embedding: Tensor

    @classmethod
    def empty(cls, device: torch.device) -> Embedded:
        """Return the heads of zero boxes."""
        return cls(*(torch.zeros((0, c, HEATMAP, HEATMAP), device=device) for c in (2, DIMENSIONS)))


class EmbeddingPredictor(nn.Module):
    """A transposed convolution for each head, 28 -> 56, and a bilinear doubling, 56 -> 112."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse_segm_lowres = deconvolution(2)
        self.embed_lowres = deconvolution(DIMENSIONS)

    def forward(self, x: Tensor) -> Embedded:
        """(D, 512, 28, 28) -> the heads, (D, …, 112, 112), float32."""
        return Embedded(double(self.coarse_segm_lowres(x)), double(self.embed_lowres(x)))


class VertexEmbedder(nn.Module):
    """The vectors of the vertices, from their features."""

    features: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("features", torch.zeros(VERTICES, FEATURES))
        self.embeddings = nn.Parameter(torch.zeros(FEATURES, DIMENSIONS))

    def forward(self) -> Tensor:
        """Return the vectors (27554, 16), float32, each of length 1."""
        vectors: Tensor = self.features.float() @ self.embeddings.float()
        return F.normalize(vectors, dim=1, eps=1e-6)


class Embedder(nn.Module):
    """The meshes of a model; those for people have one."""

    def __init__(self) -> None:
        super().__init__()
        self.embedder_smpl_27554 = VertexEmbedder()
