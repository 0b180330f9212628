"""The people of the tests of fusing."""

import pytest

from crowd import Crowd, render_crowd


@pytest.fixture(scope="session")
def crowd() -> Crowd:
    """Images and true maps of eight people, six images each."""
    return render_crowd()
