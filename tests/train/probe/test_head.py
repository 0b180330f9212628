"""The region head of the probe: what it learns, and that it is the same for the same seed."""

import torch

from dsa_reid.region_pooling import position
from dsa_train.probe.head import fit


def fitted(seed: int, steps: int = 150) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """Return a head for cells of class 0 or 1 by their first channel, and 2 at the bottom; classes, and logits."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(60, 6, 4, 2, generator=generator)
    classes = (maps[:, 0] > 0).long()
    classes[:, 3] = 2
    cells, places = (one.permute(0, 2, 3, 1).flatten(0, 2) for one in (maps, position(maps)))
    shares = torch.nn.functional.one_hot(classes.flatten(), 9).float()
    head = fit(cells, places, shares, steps, 256, 1e-2, generator)
    with torch.inference_mode():
        return head, classes, head(maps)


def test_it_learns_from_the_cell_and_from_its_position() -> None:
    head, classes, logits = fitted(0)
    assert not head.training
    assert (logits.argmax(1) == classes).float().mean() > 0.93


def test_the_same_seed_gives_the_same_head() -> None:
    one, same, other = (fitted(seed, steps=3)[2] for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_global_random_numbers_are_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    fitted(0, steps=1)
    assert torch.equal(torch.rand(3), expected)
