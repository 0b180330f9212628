import torch

from dsa_train.explain.features import change, change_between_people


def test_change_of_right_angles_and_of_nothing():
    before = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.1, 0.2]]), torch.tensor([[0.0, 0.0]])]
    after = [
        torch.tensor([[0.0, 3.0], [2.0, 2.0]]),
        torch.tensor([[0.1, 0.2], [0.2, 0.4]]),
        torch.tensor([[0.0, 0.0], [1.0, 0.0]]),
    ]
    expected = torch.tensor([[1, 0, 0], [1 - 0.5**0.5, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(change(before, after), expected)
    assert (change(before, after)[0, 1:] == 0).all()


def test_change_between_people_is_a_mean_over_pairs_of_images():
    """Two images of one person, one of another: pairs within a person do not count."""
    turned = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    found = change_between_people([turned, torch.ones(3, 2)], [7, 7, 9])
    torch.testing.assert_close(found[0], torch.tensor((1 + 1 - 0.5**0.5) / 2, dtype=torch.float64))
    assert 0 < found[1] < 1e-3, "can be divided by"
