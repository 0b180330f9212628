"""The region head: what it learns, and that it is the same for the same seed."""

import torch

from dsa_train.probe.head import RegionHead, fit, positions


def test_positions_by_hand() -> None:
    assert positions((2, 4)).tolist() == [
        [-0.5, 0.75], [-0.5, 0.25], [-0.5, 0.25], [-0.5, 0.75],
        [0.5, 0.75], [0.5, 0.25], [0.5, 0.25], [0.5, 0.75],
    ]  # fmt: skip


def fitted(seed: int, steps: int = 150) -> tuple[RegionHead, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return a head for cells whose class is 0 or 1 by their first channel, and 2 at the bottom."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(60, 6, 4, 2, generator=generator)
    classes = (maps[:, 0] > 0).long()
    classes[:, 3] = 2
    cells = maps.permute(0, 2, 3, 1).flatten(0, 2)
    targets = torch.nn.functional.one_hot(classes.flatten(), 9).float()
    head = fit(cells, positions((4, 2)).repeat(60, 1), targets, 16, steps, 256, 1e-2, generator)
    return head, maps, classes, head.shares(maps)


def test_it_learns_from_the_cell_and_from_its_position() -> None:
    head, _, classes, shares = fitted(0)
    assert not head.training
    assert shares.shape == (60, 9, 4, 2)
    assert torch.allclose(shares.sum(1), torch.ones(60, 4, 2))
    assert (shares.argmax(1) == classes).float().mean() > 0.93


def test_the_same_seed_gives_the_same_head() -> None:
    one, same, other = (fitted(seed, steps=3)[3] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_global_random_numbers_are_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fitted(0, steps=1)
    assert torch.equal(torch.rand(3), expected)
