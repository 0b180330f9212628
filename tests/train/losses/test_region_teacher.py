"""The region teacher: t is the deployed map pooled by labels, and what learns from it."""

import pytest
import torch
import torch.nn.functional as F

from dsa_train.losses.config import LossConfig
from dsa_train.losses.region_teacher import alignment
from dsa_train.losses.terms import loss_terms
from dsa_train.network.two_stream import TwoStream

LABELS = torch.tensor([0, 0, 1, 1])


@pytest.fixture
def network(small) -> TwoStream:
    torch.manual_seed(0)
    main = {"trunk": "resnet18", "width": 0.125}
    made = {"main": main, "weights": "none", "classifier_width": 8, "guide": False, "region_teacher": True}
    return TwoStream(small(network=made).network, identities=2)


def regions() -> torch.Tensor:
    """Labels of four images: heads above upper legs in three of them, nothing known of the last."""
    labels = torch.zeros(4, 64, 32, dtype=torch.uint8)
    labels[:, :32], labels[:, 32:] = 8, 4
    labels[3] = 255
    return labels


def test_alignment_by_a_slow_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    f, t = torch.randn(4, 8, 3, generator=generator), torch.randn(4, 8, 3, generator=generator)
    seen = torch.rand(4, 8, generator=generator) < 0.5
    losses = []
    for b in range(4):
        for i in range(8):
            shown = [t[c, i] for c in range(4) if LABELS[c] == LABELS[b] and seen[c, i]]
            if shown:
                losses.append(1 - F.cosine_similarity(f[b, i], torch.stack(shown).mean(0), dim=0))
    torch.testing.assert_close(alignment(f, t, seen, LABELS), torch.stack(losses).mean())
    assert alignment(f, t, torch.zeros_like(seen), LABELS) == 0


def test_the_teacher_is_not_changed_by_the_alignment() -> None:
    f, t = (torch.randn(4, 8, 3, requires_grad=True) for _ in range(2))
    alignment(f, t, torch.ones(4, 8, dtype=torch.bool), LABELS).backward()
    assert f.grad is not None
    assert f.grad.any()
    assert t.grad is None


def test_t_is_the_deployed_map_pooled_by_labels(network: TwoStream) -> None:
    images = torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(1))
    network.eval()
    outputs = network(images, regions=regions())
    assert outputs.seen[:3].nonzero()[:, 1].tolist() == [3, 7] * 3
    assert not outputs.seen[3].any()
    maps = network.main.local_head(network.main.trunk(images)).unflatten(1, (8, -1))  # (4, 8, L, 4, 2)
    torch.testing.assert_close(outputs.t_local[:3, 7], maps[:3, 7, :, :2].mean((2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(outputs.t_local[:3, 3], maps[:3, 3, :, 2:].mean((2, 3)), rtol=1e-3, atol=1e-4)
    unseen = ~outputs.seen
    assert torch.equal(outputs.t_local[unseen], outputs.f_local[unseen])
    deployed = network.main(images)
    assert torch.equal(outputs.f_local, deployed.local), "inference does not change"


def test_terms_and_their_gradients(network: TwoStream) -> None:
    outputs = network(torch.randn(4, 3, 64, 32), regions=regions())
    terms = loss_terms(outputs, LABELS, LossConfig())
    own = {name for name in terms if "_t_" in name}
    assert own == {*(f"id_t_local_{i}" for i in range(8)), "triplet_t_local", "align_t_local"}
    assert terms["id_t_local_0"] == 0, "nobody shows this region"
    torch.stack([terms[name] for name in own]).sum().backward()
    assert network.main.local_head[0].conv1.weight.grad.any()
    assert network.main.global_head[0].conv1.weight.grad is None


def test_without_labels_there_is_no_teacher(network: TwoStream) -> None:
    outputs = network.eval()(torch.randn(2, 3, 64, 32))
    assert outputs.t_local is None
    assert not any(name.startswith("t_") for name in outputs.logits)
