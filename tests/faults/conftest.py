"""One project for all disturbances, and whole files of every kind for the readers."""

from collections.abc import Iterator

import pytest

from faults.readers import Reader
from faults.seeds import seeded
from faults.stages import Project
from faults.warm import Warm


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    """A process with everything imported, which forks commands."""
    with Warm() as parent:
        yield parent


@pytest.fixture(scope="session")
def disturbed(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A tiny project, from which cases are copied."""
    return Project(tmp_path_factory.mktemp("disturbed"), warm).make()


@pytest.fixture(scope="session")
def whole_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Reader]:
    """Every reader by its name, with whole files of its kind; without exports, whose making takes long."""
    further = ("embed as arrays", "index", "evaluate")
    return {reader.name: reader for reader in seeded(tmp_path_factory.mktemp("seeds"), further)}
