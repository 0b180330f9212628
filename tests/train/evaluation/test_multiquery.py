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
    """Query 0 has three images of person 7 by camera 1; query 1, by camera 2, has none but its own."""
    features = pooled(ROWS, [(7, 1), (7, 2)], MORE, [(7, 1)] * 3, how)
    np.testing.assert_allclose(features, [expected, [1, 0]], atol=1e-6)
    np.testing.assert_array_equal(ROWS[0], np.array([0.6, 0.8], np.float32))


def test_no_query_has_further_images():
    with pytest.raises(TrainingError, match=r"needs further images .* and there are none"):
        pooled(ROWS, [(1, 1), (2, 1)], MORE, [(3, 1), (3, 1), (1, 2)], "average")
