"""Lets the tests import `trees`, and gives them a folder of datasets of their own."""

from pathlib import Path

import pytest


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent folder of all datasets, empty, and artifacts beside it."""
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"
