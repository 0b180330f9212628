"""Lets the tests of stage two import `dsap_cases`: pytest's importlib mode leaves sys.path alone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import pytest
from dsap_cases import Case


@pytest.fixture
def case(market: Path, tmp_path: Path) -> Case:
    """The tiny dataset, listed, with a map for every picture."""
    case = Case(tmp_path, market)
    case.list_pictures()
    case.make_maps()
    return case
