"""A folder of datasets, and one of artifacts, for each test."""

from pathlib import Path

import pytest


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parent folder of all datasets, empty; the folder of artifacts is next to it."""
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path / "datasets"))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    (tmp_path / "datasets").mkdir()
    return tmp_path / "datasets"
