"""Circle, ArcFace and CosFace against their formulas, by angles and loops; the network's classifiers for them."""

import math

import pytest
import torch
import torch.nn.functional as F

from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_train.config import TrainConfig
from dsa_train.losses.config import LossConfig
from dsa_train.losses.identity import cross_entropy, identity_loss
from dsa_train.losses.margin import with_margin
from dsa_train.losses.terms import loss_terms
from dsa_train.network.classifiers import Cosines, classifier
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import TwoStream
from random_features import gradient, sampled

LABELS = torch.tensor([0, 4, 2, 2, 1, 3])
KINDS = ["circle", "arcface", "cosface"]


def cosines_of(features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.stack([x @ w / (x.norm() * w.norm()) for w in weight]) for x in features])


def by_formula(cosines: torch.Tensor, kind: str, margin: float, scale: float) -> torch.Tensor:
    """The loss of each image as its paper writes it, one identity after another, without smoothing."""
    losses = []
    for row, label in zip(cosines, LABELS.tolist(), strict=True):
        others = [value for identity, value in enumerate(row) if identity != label]
        if kind == "circle":  # log(1 + Σ exp(γ α_n (s_n - Δ_n)) · exp(-γ α_p (s_p - Δ_p)))
            alpha_p = max(0.0, 1 + margin - float(row[label].detach()))
            positive = torch.exp(-scale * alpha_p * (row[label] - (1 - margin)))
            total = sum(
                torch.exp(scale * max(0.0, float(value.detach()) + margin) * (value - margin)) for value in others
            )
            losses.append(torch.log(1 + total * positive))
            continue
        own = torch.cos(torch.arccos(row[label]) + margin) if kind == "arcface" else row[label] - margin
        logits = torch.exp(scale * own) + sum(torch.exp(scale * value) for value in others)
        losses.append(-torch.log(torch.exp(scale * own) / logits))
    return torch.stack(losses).mean()


@pytest.mark.parametrize(("kind", "margin", "scale"), [("circle", 0.25, 16), ("arcface", 0.5, 30), ("cosface", 0.3, 8)])
def test_losses_are_those_of_the_papers(kind: str, margin: float, scale: float) -> None:
    features, weight = sampled(6, 8), sampled(5, 8, seed=1)
    slow = by_formula(cosines_of(features, weight), kind, margin, scale)
    layer = Cosines(8, 5)
    layer.weight = torch.nn.Parameter(weight.detach())
    config = LossConfig(smoothing=0, id_margin=margin, id_scale=scale)
    ours = identity_loss(layer(features), LABELS, config, kind)
    torch.testing.assert_close(ours, slow)
    torch.testing.assert_close(gradient(ours, features), gradient(slow, features))


@pytest.mark.parametrize(
    ("kind", "margin", "scale"), [("circle", 0.25, 256), ("arcface", 0.5, 64), ("cosface", 0.35, 64)]
)
def test_defaults_are_the_papers_and_smoothing_is_kept(kind: str, margin: float, scale: float) -> None:
    cosines = F.normalize(sampled(6, 5))
    expected = cross_entropy(with_margin(cosines, LABELS, kind, margin, scale), LABELS, 0.1)
    torch.testing.assert_close(identity_loss(cosines, LABELS, LossConfig(), kind), expected)


def test_a_margin_of_zero_is_the_scaled_cosine() -> None:
    cosines = F.normalize(sampled(6, 5))
    for kind in ("arcface", "cosface"):
        torch.testing.assert_close(with_margin(cosines, LABELS, kind, 0.0, 64.0), 64 * cosines)


def test_arcface_falls_with_the_angle_to_the_end_with_finite_gradients() -> None:
    """The cosine of θ + m would rise again beyond π."""
    angles = torch.linspace(0, math.pi, 2001, dtype=torch.float64)
    cosines = torch.cos(angles)[:, None].requires_grad_()
    logits = with_margin(cosines, torch.zeros(2001, dtype=torch.int64), "arcface", 0.5, 1.0)
    assert (logits[1:] <= logits[:-1]).all()
    assert gradient(logits.sum(), cosines).isfinite().all()


def test_linear_is_one_layer_without_bias() -> None:
    torch.manual_seed(0)
    layer = classifier(8, 512, 5, "linear")
    x = torch.randn(6, 8)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    torch.testing.assert_close(layer(x), x @ layer.weight.T)
    assert float(layer.weight.detach().std()) < 0.002


def test_cosines_are_of_float32_under_autocast() -> None:
    torch.manual_seed(0)
    layer, x = Cosines(64, 5), torch.randn(6, 64)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer(x))
        assert layer(x).dtype == torch.float32
    torch.testing.assert_close(layer(x), cosines_of(x, layer.weight))


@pytest.mark.parametrize("kind", ["linear", *KINDS])
@pytest.mark.parametrize("guide", [True, False])
def test_every_feature_has_such_a_classifier(kind: str, guide: bool) -> None:
    torch.manual_seed(0)
    main = {"trunk": "resnet18", "width": 0.125, "neck": "bn"}
    network = TwoStream(
        build(NetworkConfig, {"main": main, "weights": "none", "guide": guide, "classifier": kind}, ""), 3
    )
    parts = torch.randn(4, 24, 3, 8, 8) if guide else None
    outputs = network(torch.randn(4, 3, 64, 32), parts)
    assert len(outputs.logits) == (11 if guide else 9)
    labels = torch.tensor([0, 0, 1, 2])
    terms = loss_terms(outputs, labels, LossConfig(), classifier=kind)
    for name, values in outputs.logits.items():
        if kind != "linear":
            assert values.abs().max() <= 1 + 1e-6
        weight = 1.0 if name.startswith("z") else 0.5
        torch.testing.assert_close(terms[f"id_{name}"], weight * identity_loss(values, labels, LossConfig(), kind))
    sum(terms.values()).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in network.classifiers.parameters())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"losses": {"id_margin": 0.3}}, r"id_margin and id_scale are for train\.network\.classifier=circle, arcface"),
        ({"losses": {"id_scale": 16}, "network": {"classifier": "linear"}}, r"this is linear\. Leave them out"),
        (
            {"losses": {"teach": {"logits": 1}}, "network": {"classifier": "arcface"}},
            r"teach\.logits needs logits, and train\.network\.classifier=arcface gives cosines",
        ),
        ({"losses": {"centre_rate": 0.1}}, r"centre_rate = 0\.1 needs a centre loss"),
    ],
)
def test_settings_that_would_have_no_effect_are_refused(values: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as error:
        build(TrainConfig, values, "test")
    assert "\n" not in str(error.value)
