"""A clone with the files of a finished pipeline, and an empty one."""

from pathlib import Path

import pytest

from packed import fill, lock


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a finished pipeline, which the test works in."""
    root = tmp_path / "clone"
    fill(root)
    lock(root)
    (root / "params.yaml").write_text("dataset: market1501\n")
    monkeypatch.delenv("DSA_ARTIFACTS", raising=False)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another clone, without any output."""
    root = tmp_path / "other"
    root.mkdir()
    (root / "params.yaml").write_text("dataset: market1501\n")
    return root
