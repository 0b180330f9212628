"""The loss of the region heads and the share of cells that they have right."""

import math

import pytest
import torch

from dsa_train.losses.regions import cells_right, region_loss


def shares(*cells: dict[int, float]) -> torch.Tensor:
    """Return the labels of one image of 1×n cells: (1, 9, 1, n)."""
    labels = torch.zeros(1, 9, 1, len(cells))
    for x, cell in enumerate(cells):
        for number, share in cell.items():
            labels[0, number, 0, x] = share
    return labels


def test_by_hand() -> None:
    logits = torch.zeros(1, 9, 1, 3)
    logits[0, 2, 0, 0] = math.log(4)  # 4 / 12 for region 2, 1 / 12 for the others
    labels = shares({2: 0.5, 0: 0.5}, {1: 0.5}, {})
    expected = (0.5 * math.log(3) + 0.5 * math.log(12) + 0.5 * math.log(9)) / 1.5
    assert float(region_loss(logits, labels)) == pytest.approx(expected)
    mean = (math.log(3) + 8 * math.log(12)) / 9  # of minus the logarithms, in the first cell
    smoothed = 0.9 * expected + 0.1 * (mean + 0.5 * math.log(9)) / 1.5
    assert float(region_loss(logits, labels, smoothing=0.1)) == pytest.approx(smoothed)


def test_the_least_loss_is_at_the_labels_themselves() -> None:
    labels = torch.rand(3, 9, 4, 2).softmax(1)
    at = float(region_loss(labels.log(), labels))
    for _ in range(20):
        assert float(region_loss(labels.log() + 0.1 * torch.randn(3, 9, 4, 2), labels)) > at


def test_without_labels_it_is_zero_and_attached() -> None:
    logits = torch.randn(2, 9, 3, 2, requires_grad=True)
    loss = region_loss(logits, torch.zeros(2, 9, 3, 2))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_images_without_labels_change_nothing() -> None:
    logits, labels = torch.randn(2, 9, 3, 2), torch.rand(2, 9, 3, 2).softmax(1)
    labels[1] = 0
    torch.testing.assert_close(region_loss(logits, labels), region_loss(logits[:1], labels[:1]))
    torch.testing.assert_close(cells_right(logits, labels), cells_right(logits[:1], labels[:1]))


def test_half_precision_is_computed_in_float32() -> None:
    logits, labels = torch.randn(2, 9, 3, 2), torch.rand(2, 9, 3, 2).softmax(1)
    assert region_loss(logits.bfloat16(), labels).dtype == torch.float32


def test_cells_that_are_right() -> None:
    labels = shares({2: 0.6, 0: 0.4}, {1: 0.3}, {}, {0: 1})
    logits = torch.zeros(1, 9, 1, 4)
    logits[0, 2] = 1
    assert float(cells_right(logits, labels)) == pytest.approx(1 / 3)
    template = torch.zeros(1, 9, 1, 4)
    template[0, 2, 0, 0], template[0, 1, 0, 1], template[0, 3, 0, 3] = 1, 1, 1
    assert float(cells_right(template, labels)) == pytest.approx(2 / 3)
    assert float(cells_right(logits, 0 * labels)) == 0
