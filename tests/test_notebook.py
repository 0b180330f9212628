"""The notebook: kept without outputs, shown on the site, and run from the first cell to the last."""

import importlib.util
import json
from pathlib import Path

import pytest

import notebook_page
from repository import ROOT

PATH = ROOT / "docs" / "tutorials" / "first-steps.ipynb"
CELLS = json.loads(PATH.read_text(encoding="utf-8"))["cells"]


def test_it_is_kept_without_outputs() -> None:
    assert {cell["cell_type"] for cell in CELLS} == {"markdown", "code"}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


def test_its_page_has_every_cell() -> None:
    text = notebook_page.page(PATH)
    assert text.startswith("# First steps")
    for cell in CELLS[1:]:
        assert "".join(cell["source"]) in text
    assert text.count("```python\n") == sum(cell["cell_type"] == "code" for cell in CELLS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("nbclient", "ipykernel")),
    reason="the extra notebook is not installed",
)
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measures that it computes from plain arrays are those of the command."""
    import nbclient
    import nbformat

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("DSA_DATASETS", raising=False)
    monkeypatch.delenv("DSA_ARTIFACTS", raising=False)
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    client = nbclient.NotebookClient(
        notebook, timeout=1500, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()
    printed = ["".join(output.get("text", "") for output in cell.get("outputs", [])) for cell in notebook.cells]
    (row,) = [line for text in printed for line in text.splitlines() if line.startswith("synthetic ")]
    rank1, map_ = row.split()[1], row.split()[4]
    assert f"Rank-1 {float(rank1):.1f}%, mAP {float(map_):.1f}%\n" in printed
    assert not [text for text in printed if "error:" in text]
    pictures = [
        output for cell in notebook.cells for output in cell.get("outputs", []) if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 5
