import numpy as np
import pytest

from dsa_app.errors import TrainingError
from dsa_train.evaluation.multiquery import pooled

ROWS = np.array([[0.6, 0.8], [1.0, 0.0]], np.float32)
MORE = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    ("how", "expected"), [("average", [1 / 5**0.5, 2 / 5**0.5]), ("maximum", [0.5**0.5, 0.5**0.5])]
)
def test_by_hand(how, expected):
    """Query 0 is asked by three pictures of person 7 in camera 1; query 1, in camera 2, by itself."""
    pids, camids = np.array([7, 7]), np.array([1, 2])
    found = pooled(ROWS, pids, camids, MORE, np.array([7, 7, 7]), np.array([1, 1, 1]), how)
    np.testing.assert_allclose(found, [expected, [1, 0]], atol=1e-6)
    np.testing.assert_array_equal(ROWS[0], np.array([0.6, 0.8], np.float32))


def test_nobody_has_more():
    with pytest.raises(TrainingError, match="nothing to ask with"):
        pooled(ROWS, np.array([1, 2]), np.array([1, 1]), MORE, np.array([3, 3, 1]), np.array([1, 1, 2]), "average")
