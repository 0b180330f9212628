"""The probability that u and v are right: against a sum of the density over a disc, and by hand."""

import math

import pytest
import torch

from densepose_extract.engines.uv_probability import LEAST, RADIUS, uv_probability, within_circle


def raw(variance: float) -> float:
    """Return the raw head whose variance this is: the inverse of softplus(x) + `LEAST`."""
    return math.log(math.expm1(variance - LEAST))


def summed(variance: float, kappa_u: float, kappa_v: float, cells: int = 401) -> float:
    """Sum the density exp(-d' inv(Sigma) d / 2), Sigma = s I + r r', over the cells of a grid inside the disc."""
    covariance = torch.eye(2).double() * variance
    r = torch.tensor([kappa_u, kappa_v]).double()
    covariance += r[:, None] * r[None]
    side = torch.linspace(-RADIUS, RADIUS, cells).double()
    d = torch.stack(torch.meshgrid(side, side, indexing="ij"), dim=-1)
    exponent = -0.5 * (d @ covariance.inverse() * d).sum(-1)
    density = exponent.exp() / (2 * math.pi * covariance.det().sqrt())
    inside = (d**2).sum(-1) <= RADIUS**2
    return float((density * inside).sum() * (2 * RADIUS / (cells - 1)) ** 2)


@pytest.mark.parametrize("variance", [0.011, 0.04, 0.3])
@pytest.mark.parametrize("kappa", [(0.0, 0.0), (0.2, 0.1), (-0.3, 0.9), (0.05, -0.02)])
def test_of_a_covariance_is_the_density_summed_over_the_disc(variance: float, kappa: tuple[float, float]) -> None:
    found = uv_probability(*(torch.tensor(x) for x in (raw(variance), *kappa)))
    assert float(found) == pytest.approx(summed(variance, *kappa) / summed(LEAST, 0, 0), rel=2e-3)


def test_equal_variances_are_rayleighs_closed_form() -> None:
    sigma_2 = torch.tensor([raw(0.02), raw(0.5)])
    found = uv_probability(sigma_2)
    least = 1 - math.exp(-(RADIUS**2) / 0.02)
    expected = [(1 - math.exp(-(RADIUS**2) / (2 * s))) / least for s in (0.02, 0.5)]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    zero = torch.zeros(2)
    torch.testing.assert_close(uv_probability(sigma_2, zero, zero), found)


def test_is_1_for_the_least_variance_and_falls_with_it() -> None:
    sigma_2 = torch.linspace(-60, 40, 200)
    found = uv_probability(sigma_2)
    assert found[0] == pytest.approx(1, abs=1e-6)
    assert (found.diff() <= 0).all()
    assert found.max() <= 1 + 1e-6
    assert found.min() >= 0
    assert (uv_probability(sigma_2, torch.full_like(sigma_2, 0.3), torch.zeros(200)) < found + 1e-9).all()


def test_the_rule_for_directions_is_fine_enough() -> None:
    """400 times as wide along one axis, against ten times as many directions."""
    first, second = torch.tensor(0.01).double(), torch.tensor(4.0).double()
    total = 0.0
    for step in range(1600):
        angle = (step + 0.5) * math.pi / 3200
        inverse = math.cos(angle) ** 2 / 0.01 + math.sin(angle) ** 2 / 4
        total += (1 - math.exp(-(RADIUS**2) / 2 * inverse)) / inverse
    assert float(within_circle(first, second)) == pytest.approx(total / (1600 * math.sqrt(0.04)), rel=1e-6)


def test_half_precision_heads_are_computed_in_float32() -> None:
    assert uv_probability(torch.zeros(3, dtype=torch.bfloat16)).dtype == torch.float32
