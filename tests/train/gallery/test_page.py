"""The table of a search."""

import torch

from dsa_reid.regions import Explanation
from dsa_train.gallery.hits import Hit, QueryResult
from dsa_train.gallery.page import table


def test_a_line_a_hit_with_each_regions_agreement():
    agreement = torch.tensor([[1.0, 0.5, 0.0, -0.001, -0.006, -1.0, 0.994, 0.996]])
    result = QueryResult("a.jpg", [Hit("b.jpg", 0.25, True)], Explanation(torch.zeros(1, 8), agreement))
    name, head, line = table([result]).splitlines()
    assert name == "a.jpg"
    assert " ".join(head.split()) == "distance torso hands feet upper legs lower legs upper arms lower arms head image"
    assert " ".join(line.split()) == "1 0.250 1.00 0.50 0.00 0.00 -0.01 -1.00 0.99 1.00 b.jpg right"


def test_without_an_explanation():
    assert table([QueryResult("a.jpg", [Hit("b.jpg", 0.25)])]).splitlines()[2].split() == ["1", "0.250", "b.jpg"]
