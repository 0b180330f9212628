import numpy as np
import pytest
import torch

from dsa_train.evaluation.config import ExpansionConfig
from dsa_train.evaluation.expansion import expanded

CPU = torch.device("cpu")


def by_definition(query, gallery, neighbours, alpha):
    result = []
    for feature in query:
        cosines = gallery @ feature / np.linalg.norm(gallery, axis=1) / np.linalg.norm(feature)
        total = feature.astype(np.float64)
        for n in sorted(range(len(gallery)), key=lambda n: -cosines[n])[:neighbours]:
            total = total + max(cosines[n], 0) ** alpha * gallery[n]
        result.append(total / np.linalg.norm(total) * np.linalg.norm(feature))
    return np.array(result)


@pytest.mark.parametrize(("neighbours", "alpha"), [(1, 3.0), (5, 0.0), (4, 2.5), (30, 3.0)])
def test_agrees_with_the_definition(neighbours, alpha):
    generator = np.random.default_rng(neighbours)
    query, gallery = (generator.normal(size=(n, 8)).astype(np.float32) for n in (7, 30))
    found = expanded(
        query, gallery, ExpansionConfig(neighbours=neighbours, alpha=alpha), CPU, memory=2 * 4 * 30 / 2**30
    )
    np.testing.assert_allclose(found, by_definition(query, gallery, neighbours, alpha), atol=1e-5)


def test_off_by_default():
    query = np.ones((2, 3), np.float32)
    assert expanded(query, np.zeros((1, 3)), ExpansionConfig(), CPU, memory=1) is query
