"""Maps of CSE models: the nearest vertex against a slow loop, confidences, unknown vertices, the engine."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densepose_extract.engines import embedded
from densepose_extract.engines.embedded import Mesh, nearest, place_embedded
from densepose_extract.engines.native import NativeEngine
from densepose_extract.network.embedding import VERTICES, Embedded
from densepose_extract.recipe import Recipe
from densepose_extract.vertices import Vertices, write_vertices
from detectron2_reference import entries, golden
from dsa_app.errors import ConfigError


def random_mesh(count: int = 60, seed: int = 0) -> tuple[Tensor, Vertices]:
    """Return vectors of length 1 and a table, in which each fifth vertex is unknown."""
    rng = np.random.default_rng(seed)
    vectors = F.normalize(torch.from_numpy(rng.normal(size=(count, 16)).astype(np.float32)), dim=1)
    chart = rng.integers(1, 4, count).astype(np.uint8)
    chart[::5] = 0
    return vectors, Vertices(chart, *rng.random((2, count)).astype(np.float32))


def heads_near(vectors: Tensor, seed: int = 1) -> Embedded:
    """Return the heads of one box whose vectors are near to those of vertices, and whose left third is background."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(vectors), (7, 7), generator=generator)
    embedding = vectors[chosen].permute(2, 0, 1)[None] + 0.05 * torch.randn((1, 16, 7, 7), generator=generator)
    coarse = torch.zeros((1, 2, 7, 7))
    coarse[:, 1] = torch.linspace(-2, 4, 7)
    return Embedded(coarse, embedding)


def resized(maps: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(maps, (height, width), mode="bilinear", align_corners=False)[0]


def test_each_pixel_has_the_nearest_known_vertex(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, table = random_mesh()
    heads = heads_near(vectors)
    found = place_embedded(heads, 0, torch.tensor([2.0, 3.0, 22.0, 33.0]), (40, 30), Mesh(vectors, table))
    body = resized(heads.coarse_segm, 30, 20).argmax(0) > 0
    at = resized(heads.embedding, 30, 20)
    want = np.zeros((40, 30, 3), np.uint8)
    for y in range(30):
        for x in range(20):
            if body[y, x]:
                distances = [
                    float(((at[:, y, x] - vectors[k]) ** 2).sum()) if table.chart[k] else np.inf for k in range(60)
                ]
                k = int(np.argmin(distances))
                want[y + 3, x + 2] = table.chart[k], np.rint(255 * table.u[k]), np.rint(255 * table.v[k])
    assert 0.3 < body.float().mean() < 0.9
    assert (found != want).any(axis=2).mean() <= 2e-3  # ties but for rounding
    monkeypatch.setattr(embedded, "TOGETHER", 7)
    again = place_embedded(heads, 0, torch.tensor([2.0, 3.0, 22.0, 33.0]), (40, 30), Mesh(vectors, table))
    assert (again != found).any(axis=2).mean() <= 2e-3


def test_16_bits_and_boxes_that_reach_out_of_the_image() -> None:
    vectors, table = random_mesh()
    fine = np.zeros((10, 9, 2), np.uint16)
    found = place_embedded(
        heads_near(vectors), 0, torch.tensor([-5.0, -4.0, 8.0, 30.0]), (10, 9), Mesh(vectors, table), fine
    )
    assert found.any()
    body = found[..., 0] > 0
    assert not fine[~body].any()
    assert np.abs(fine[body] / 65536 - found[body][:, 1:] / 255).max() < 0.003


def test_the_probability_is_the_softmax_of_vertices_that_are_as_right() -> None:
    vectors, table = random_mesh()
    mesh = Mesh(vectors, table)
    some = vectors[:8] + 0.1
    vertex, probability = nearest(some, mesh, stated=True)
    for n in range(8):
        distance = ((some[n] - mesh.vectors) ** 2).sum(1)
        share = (-distance / 0.01).softmax(0)
        best = int(vertex[n])
        right = [
            int(mesh.chart[k]) == int(mesh.chart[best]) and float((mesh.uv[k] - mesh.uv[best]).norm()) <= 24 / 255
            for k in range(len(mesh.chart))
        ]
        assert float(probability[n]) == pytest.approx(float(share[torch.tensor(right)].sum()), abs=1e-5)
    assert not nearest(some, mesh)[1].any()


def test_confidences_are_the_body_s_times_the_vertex_s_and_the_rest_outside() -> None:
    vectors, table = random_mesh()
    mesh, heads, box = Mesh(vectors, table), heads_near(vectors), torch.tensor([1.0, 1.0, 15.0, 19.0])
    sure = np.full((24, 18), 255, np.uint8)
    iuv = place_embedded(heads, 0, box, (24, 18), mesh, None, sure)
    of_body = resized(heads.coarse_segm, 18, 14).softmax(0)[1].numpy()
    inside = sure[1:19, 1:15]
    background = iuv[1:19, 1:15, 0] == 0
    np.testing.assert_allclose(inside[background], 255 * (1 - of_body[background]), atol=1)
    assert (inside[~background] <= 255 * of_body[~background] + 1).all()
    assert inside[~background].max() > 100
    outside = np.ones_like(background, shape=sure.shape)
    outside[1:19, 1:15] = False
    assert (sure[outside] == 255).all()


def test_a_table_is_refused_by_a_model_of_charts(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"extract\.vertices is for models of embeddings \(CSE\)"):
        NativeEngine(checkpoint, vertices=tmp_path / "vertices.npz")


@pytest.mark.slow
def test_the_engine_runs_a_cse_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "cse.pkl"
    path.write_bytes(pickle.dumps({"model": entries("CSE_R_50_FPN_s1x")}, protocol=4))
    with pytest.raises(ConfigError, match=r"cse\.pkl is a model of embeddings \(CSE\).*densepose-extract vertices"):
        NativeEngine(path)
    rng = np.random.default_rng(0)
    table = Vertices(rng.integers(1, 25, VERTICES).astype(np.uint8), *rng.random((2, VERTICES)).astype(np.float32))
    file = write_vertices(tmp_path / "vertices.npz", table)
    recipe = Recipe(min_size=64, max_size=256)
    engine = NativeEngine(path, recipe=recipe, confidence=True, vertices=file)
    assert engine.identity["model"] == "CSE_R_50_FPN_s1x"
    assert len(engine.identity["vertices"]) == 64
    images = [each["image"] for each in golden("R_50_FPN_s1x")][:2]
    found = [
        one
        for batch in engine.batches([i.shape[:2] for i in images])
        for one in engine.extract([images[n] for n in batch])
    ]
    for one in found:
        assert one.status == "found"
        assert one.iuv[..., 0].any()
        assert one.confidence is not None
        values = {
            (c, round(255 * u), round(255 * v)) for c, u, v in zip(table.chart.tolist(), table.u, table.v, strict=True)
        }
        assert {tuple(x) for x in one.iuv[one.iuv[..., 0] > 0].tolist()} <= values
    path.unlink()
