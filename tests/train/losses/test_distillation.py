"""Distillation losses against slow loops written from the papers, and the gradients that they must not have."""

import math

import pytest
import torch

from dsa_app.errors import ConfigError
from dsa_train.losses.config import DistillationConfig, LossConfig
from dsa_train.losses.distillation import direction, distillation_terms, relations, soft_targets
from dsa_train.losses.terms import loss_terms
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import Outputs, TwoStream


def sampled(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def slow_relations(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> float:
    """For each feature and anchor: the others' similarities as probabilities, then Σ t · log(t / s)."""
    B, n, _ = student.shape
    total = 0.0
    for i in range(n):
        for a in range(B):
            similarity = []
            for x in (teacher[:, i], student[:, i]):
                cosines = [float(x[a] @ x[b] / x[a].norm() / x[b].norm()) for b in range(B) if b != a]
                powers = [math.exp(cosine / temperature) for cosine in cosines]
                similarity.append([power / sum(powers) for power in powers])
            total += sum(t * math.log(t / s) for t, s in zip(*similarity, strict=True))
    return total / (n * B)


def test_relations_against_the_loop():
    student, teacher = sampled(5, 3, 4), sampled(5, 3, 4, seed=1)
    found = relations(student, teacher, 0.3)
    assert float(found.detach()) == pytest.approx(slow_relations(student.detach(), teacher.detach(), 0.3), rel=1e-9)
    ours, theirs = torch.autograd.grad(found, [student, teacher], allow_unused=True)
    assert ours.abs().sum() > 0
    assert theirs is None  # the teacher is a constant


def test_relations_are_nothing_where_both_agree_and_do_not_see_scale_or_turns():
    teacher = sampled(6, 1, 4)
    turn = torch.linalg.qr(sampled(4, 4, seed=2)).Q
    assert relations(3 * teacher @ turn, teacher, 0.1).item() == pytest.approx(0, abs=1e-12)
    assert relations(sampled(6, 1, 4, seed=1), teacher, 0.1).item() > 0.01
    assert relations(sampled(1, 1, 4), sampled(1, 1, 4, seed=1), 0.1).item() == 0


def test_direction_by_hand():
    student = torch.tensor([[[1.0, 0.0]], [[0.0, 2.0]]], requires_grad=True)
    teacher = torch.tensor([[[3.0, 0.0]], [[1.0, 0.0]]], requires_grad=True)
    found = direction(student, teacher)  # cosines 1 and 0
    assert float(found) == pytest.approx(0.5)
    assert torch.autograd.grad(found, teacher, allow_unused=True)[0] is None


def test_soft_targets_by_hand():
    logits, target = torch.zeros(1, 2), torch.tensor([[math.log(3) * 2, 0.0]])  # at T = 2: even, and 3 to 1
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert float(soft_targets(logits, target, 2.0)) == pytest.approx(expected)


def outputs_of(**network) -> Outputs:
    main = {"trunk": "resnet18", "width": 0.125}
    torch.manual_seed(0)
    made = TwoStream(NetworkConfig(main=main, weights="none", classifier_width=8, **network), 3)
    generator = torch.Generator().manual_seed(1)
    images, parts = torch.randn(6, 3, 64, 32, generator=generator), torch.randn(6, 24, 3, 8, 8, generator=generator)
    return made, made(images, parts if network.get("guide", True) else None)


LABELS = torch.tensor([0, 0, 1, 1, 2, 2])
ALL = {"relations": 1.0, "features": 1.0, "logits": 1.0}


def test_no_terms_by_default_or_without_a_guide():
    _, guided = outputs_of()
    assert distillation_terms(guided, DistillationConfig()) == {}
    _, alone = outputs_of(guide=False)
    assert distillation_terms(alone, DistillationConfig(**ALL)) == {}
    assert not [name for name in loss_terms(guided, LABELS, LossConfig()) if "_f_global" in name and "triplet" in name]


def test_each_kind_has_a_global_and_a_local_term():
    _, guided = outputs_of()
    names = {f"{kind}_{head}" for kind in ALL for head in ("global", "local")}
    assert distillation_terms(guided, DistillationConfig(**ALL)).keys() == names
    weighted = distillation_terms(guided, DistillationConfig(relations=20.0))
    plain = distillation_terms(guided, DistillationConfig(relations=1.0))
    assert float(weighted["relations_local"]) == pytest.approx(20 * float(plain["relations_local"]))


def test_local_terms_are_region_by_region():
    """Turning one region of the teacher's about changes that region's share alone: an eighth of the mean."""
    _, guided = outputs_of()
    local = guided.z_local.detach().clone()
    local[:, 3] = -guided.f_local[:, 3].detach()
    for i in (0, 1, 2, 4, 5, 6, 7):
        local[:, i] = guided.f_local[:, i].detach()
    found = distillation_terms(guided._replace(z_local=local), DistillationConfig(features=1.0))
    assert float(found["features_local"].detach()) == pytest.approx(2 / 8, abs=1e-6)


def test_the_guide_gets_no_gradient():
    network, guided = outputs_of()
    torch.stack(list(distillation_terms(guided, DistillationConfig(**ALL)).values())).sum().backward()
    assert all(weight.grad is None for weight in network.guide.parameters())
    assert any(weight.grad is not None and weight.grad.any() for weight in network.main.parameters())


def test_streams_apart_leave_the_main_one_to_two_branches_losses():
    """Without distillation its gradients are, to the bit, those of a network without a guide."""
    apart, outputs = outputs_of(apart=True)
    torch.stack(list(loss_terms(outputs, LABELS, LossConfig(triplet_f=1.5)).values())).sum().backward()
    alone, outputs = outputs_of(guide=False)
    torch.stack(list(loss_terms(outputs, LABELS, LossConfig()).values())).sum().backward()
    assert any(weight.grad.any() for weight in apart.guide.parameters())
    for (name, one), other in zip(alone.main.named_parameters(), apart.main.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-5, msg=name)


def test_the_guides_own_features_have_no_logits():
    with pytest.raises(ValueError, match="no classifier"):
        DistillationConfig(teacher="d", logits=1.0)
    from dsa_app.config import build

    with pytest.raises(ConfigError, match="teach"):
        build(LossConfig, {"teach": {"teacher": "d", "logits": 1.0}}, "test")
