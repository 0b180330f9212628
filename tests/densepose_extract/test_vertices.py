"""The table of vertices: from annotations of two kinds, written and read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from densepose_extract.cli import main
from densepose_extract.network.embedding import VERTICES
from densepose_extract.vertices import Vertices, make_vertices, read_vertices, write_vertices
from dsa_app.errors import ConfigError


def annotated(path: Path, notes: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"annotations": notes}))
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Three points of vertex 5 on chart 7, one on chart 8; one of vertex 9; one without a partner."""
    x = [1.0, 2.0, 3.004, 4.0, 5.0]
    charts = [
        {"id": 3, "dp_x": x, "dp_y": x, "dp_I": [7, 7, 7, 8, 2], "dp_U": [0.1, 0.2, 0.3, 0.9, 0.5], "dp_V": [0.5] * 5},
        {"id": 4, "bbox": [0, 0, 1, 1]},
    ]
    notes = [
        {"id": 3, "dp_x": [3.0, *x[:2], *x[3:]], "dp_y": [3.0, *x[:2], *x[3:]], "dp_vertex": [5, 5, 5, 5, 9]},
        {"id": 8, "dp_x": [1.0], "dp_y": [1.0], "dp_vertex": [11]},
        {"id": 3, "dp_x": [1.0], "dp_y": [1.0], "dp_vertex": [12], "ref_model": "cat_5001"},
    ]
    notes[0]["ref_model"] = "smpl_27554"
    return annotated(tmp_path / "iuv.json", charts), annotated(tmp_path / "cse.json", notes)


def test_a_vertex_has_the_chart_of_most_of_its_points_and_their_mean(files: tuple[Path, Path]) -> None:
    table = make_vertices([files[0]], [files[1]])
    assert np.flatnonzero(table.chart).tolist() == [5, 9]
    assert (table.chart[5], table.chart[9]) == (7, 2)
    assert table.u[5] == pytest.approx(0.2)
    assert (table.u[9], table.v[9]) == (0.5, 0.5)


def test_the_command_writes_what_is_read(files: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "vertices.npz"
    result = CliRunner().invoke(main, ["vertices", *map(str, files), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert result.output.strip() == f"{out}: 2 of 27554 vertices have a chart"
    found, want = read_vertices(out), make_vertices([files[0]], [files[1]])
    for name in ("chart", "u", "v"):
        assert (getattr(found, name) == getattr(want, name)).all()
    assert len(found.digest) == 64


def test_files_of_other_images_or_content_are_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    other = annotated(tmp_path / "other.json", [{"id": 1, "dp_x": [1.0], "dp_y": [1.0], "dp_vertex": [0]}])
    with pytest.raises(ConfigError, match="no point in common"):
        make_vertices([files[0]], [other])
    other.write_text("[]")
    with pytest.raises(ConfigError, match=r"other\.json is not a file of annotations"):
        make_vertices([files[0]], [other])
    with pytest.raises(ConfigError, match=r"none\.json is not a file\. Name a file of DensePose-COCO"):
        make_vertices([files[0]], [tmp_path / "none.json"])


@pytest.mark.parametrize(
    "change",
    [
        {"chart": np.full(VERTICES, 25, np.uint8)},
        {"chart": np.zeros(VERTICES, np.uint8)},
        {"chart": np.ones(VERTICES - 1, np.uint8)},
        {"chart": np.ones(VERTICES, np.float32)},
        {"u": np.full(VERTICES, 1.5, np.float32)},
        {"v": np.full(VERTICES, np.nan, np.float32)},
        {"v": np.zeros((VERTICES, 1), np.float32)},
    ],
)
def test_another_table_is_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    zeros = np.zeros(VERTICES, np.float32)
    given = {"chart": np.ones(VERTICES, np.uint8), "u": zeros, "v": zeros} | change
    path = write_vertices(tmp_path / "a.npz", Vertices(**given))
    with pytest.raises(ConfigError, match=r"a\.npz is not a table of vertices.*densepose-extract vertices"):
        read_vertices(path)


def test_a_missing_or_damaged_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.npz is not a file\. Make it from DensePose-COCO's annotations"):
        read_vertices(tmp_path / "a.npz")
    (tmp_path / "a.npz").write_bytes(b"PK no")
    with pytest.raises(ConfigError, match=r"a\.npz is not a table of vertices"):
        read_vertices(tmp_path / "a.npz")
