"""From the embeddings of a CSE model to the I, U, V map: each body pixel has chart, u and v of its nearest vertex."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..network.embedding import Embedded
from ..vertices import Vertices
from .placing import Taps, as_bytes, integer_box, interpolate, paste, paste_patch
from .stated import TOLERANCE

TOGETHER = 1 << 9  # pixels that are compared with all vertices at a time: 27,554 distances of each are 54 MiB
SPREAD = 0.01  # EMBEDDING_DIST_GAUSS_SIGMA: by which the models' loss divides squared distances


class Mesh:
    """The vertices of which chart, u and v are known, on the network's device.

    Attributes:
        vectors: (N, 16), float32.
        chart: int64 (N,), 1 .. 24.
        uv: float32 (N, 2).
    """

    def __init__(self, vectors: Tensor, table: Vertices) -> None:
        known = np.flatnonzero(table.chart)
        device = vectors.device
        self.vectors = vectors[torch.from_numpy(known).to(device)]
        self.chart = torch.from_numpy(table.chart[known].astype(np.int64)).to(device)
        self.uv = torch.from_numpy(np.stack([table.u, table.v], axis=1)[known]).to(device)


def place_embedded(
    heads: Embedded,
    index: int,
    box: Tensor,
    size: tuple[int, int],
    mesh: Mesh,
    fine: np.ndarray | None = None,
    sure: np.ndarray | None = None,
) -> np.ndarray:
    """Return the map of an image, uint8 (height, width, 3) I, U, V, with one of `heads` at `box` (4,) XYXY.

    As `placing.place_map`, whose arguments `fine` and `sure` it has. The confidence of a body pixel is P(body), times
    the probability by the model's own softmax over vertices that the pixel is of one with the same chart and with u and
    v within 24 steps of a byte.
    """
    x, y, w, h = integer_box(box)
    device = heads.embedding.device
    rows, columns = Taps(h, heads.embedding.shape[-1], device), Taps(w, heads.embedding.shape[-1], device)
    coarse = interpolate(heads.coarse_segm[index], rows, columns)  # (2, h, w)
    body = coarse.argmax(0) > 0
    vectors = interpolate(heads.embedding[index], rows, columns)[:, body].T  # (n, 16)
    vertex, probability = nearest(vectors, mesh, stated=sure is not None)
    labels = torch.zeros_like(body, dtype=torch.int64)
    labels[body] = mesh.chart[vertex]
    uv = torch.zeros((2, h, w), device=device)
    uv[:, body] = mesh.uv[vertex].T
    iuv = np.zeros((*size, 3), np.uint8)
    paste(iuv, labels, uv, x, y, fine)
    if sure is not None:
        of_body = coarse.float().softmax(0)[1]
        stated = 1 - of_body
        stated[body] = of_body[body] * probability
        paste_patch(sure, as_bytes(stated).cpu().numpy(), x, y)
    return iuv


def nearest(vectors: Tensor, mesh: Mesh, stated: bool = False) -> tuple[Tensor, Tensor]:
    """Return the nearest vertex of each vector, int64 (n,), and the probability that it is right, float32 (n,).

    Args:
        vectors: (n, 16).
        stated: whether the probability is computed; else it is 0.
    """
    vertex = torch.zeros(len(vectors), dtype=torch.int64, device=vectors.device)
    probability = torch.zeros(len(vectors), device=vectors.device)
    squares = (mesh.vectors**2).sum(1)  # (N,)
    for start in range(0, len(vectors), TOGETHER):
        some = vectors[start : start + TOGETHER]
        distance = (some**2).sum(1, keepdim=True) + squares - 2 * some @ mesh.vectors.T  # (n, N)
        best = distance.argmin(1)
        vertex[start : start + TOGETHER] = best
        if stated:
            share = (-distance / SPREAD).softmax(1)
            close = torch.cdist(mesh.uv[best], mesh.uv) <= TOLERANCE / 255
            same = mesh.chart[best][:, None] == mesh.chart
            probability[start : start + TOGETHER] = (share * (close & same)).sum(1)
    return vertex, probability.clamp(0, 1)
