"""A dataset with a map for every image."""

from pathlib import Path

import pytest

from dsap_cases import Case


@pytest.fixture
def case(market: Path, tmp_path: Path) -> Case:
    """The tiny dataset with its manifest and a map for every image."""
    case = Case(tmp_path, market)
    case.list_images()
    case.make_maps()
    return case
