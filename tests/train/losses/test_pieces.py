"""Loss terms of a feature that is joined of pieces: which there are, by hand, and where their gradients are."""

import pytest
import torch

from dsa_app.config import build
from dsa_train.losses.config import LossConfig
from dsa_train.losses.gradients import compare_gradients
from dsa_train.losses.identity import cross_entropy
from dsa_train.losses.terms import loss_terms
from dsa_train.losses.triplet import batch_hard_triplet
from dsa_train.network.config import NetworkConfig
from dsa_train.network.two_stream import Outputs, TwoStream
from random_features import sampled

LABELS = torch.tensor([0, 0, 2, 2])
STRIPES = [f"f_stripe_{i}" for i in range(6)]
WHOLE, PARTS = [f"f_whole_{i}" for i in range(3)], [f"f_part_{i}" for i in range(5)]


def network(head: str, **settings: object) -> TwoStream:
    torch.manual_seed(0)
    main = {"trunk": "resnet18", "width": 0.125, "heads": "global", "head": head}
    return TwoStream(build(NetworkConfig, {"main": main, "classifier_width": 8, **settings}, "test"), 3).double()


def outputs(head: str, **settings: object) -> Outputs:
    images, parts = sampled(4, 3 * 96 * 32, 1).view(4, 3, 96, 32), sampled(4, 24 * 3 * 64, 2).view(4, 24, 3, 8, 8)
    result: Outputs = network(head, **settings)(images, parts)
    return result


def test_pcb_has_six_softmax_losses_and_nothing_else() -> None:
    out = outputs("pcb", guide=False)
    terms = loss_terms(out, LABELS, LossConfig(id_f=1))
    assert list(terms) == [f"id_{name}" for name in STRIPES]
    for name in STRIPES:
        torch.testing.assert_close(terms[f"id_{name}"], cross_entropy(out.logits[name], LABELS, 0.1))


def test_mgn_has_softmax_losses_of_eight_and_triplets_of_the_three_reduced_whole_maps() -> None:
    out = outputs("mgn", guide=False)
    terms = loss_terms(out, LABELS, LossConfig(id_f=1, triplet=2, margin=1.2))
    assert list(terms) == [*(f"id_{name}" for name in WHOLE + PARTS), *(f"triplet_{name}" for name in WHOLE)]
    reduced = out.f_global.unflatten(1, (8, -1))
    for i, name in enumerate(WHOLE):
        expected = 2 * batch_hard_triplet(reduced[:, i], LABELS, 1.2)
        torch.testing.assert_close(terms[f"triplet_{name}"], expected)


def test_classifiers_see_what_the_papers_classify() -> None:
    layers = network("mgn", guide=False).classifiers
    assert {layers[name][0].in_features for name in WHOLE} == {64}, "before the reduction: conv5_x of a thin ResNet-18"
    assert {layers[name][0].in_features for name in PARTS} == {64}
    with torch.device("meta"):
        main = {"trunk": "resnet50", "heads": "global", "head": "mgn"}
        layers = TwoStream(build(NetworkConfig, {"main": main, "guide": False}, "test"), 3).classifiers
    assert {layers[name][0].in_features for name in WHOLE} == {2048}
    assert {layers[name][0].in_features for name in PARTS} == {256}


@pytest.mark.parametrize(("head", "own"), [("pcb", STRIPES), ("mgn", WHOLE + PARTS)])
def test_the_guide_is_added_to_all_pieces_joined(head: str, own: list[str]) -> None:
    out = outputs(head)
    torch.testing.assert_close(out.z_global, out.f_global + out.d_global)
    terms = loss_terms(out, LABELS, LossConfig(triplet_f=1))
    compared = [f"triplet_{name}" for name in own if "whole" in name]
    assert set(terms) == {*(f"id_{name}" for name in own), "id_z_global", "triplet_z_global", *compared}


@pytest.mark.parametrize("head", ["pcb", "mgn"])
def test_gradients_are_compared_before_the_reductions(head: str) -> None:
    """Where both kinds of losses reach the network, their gradients add up to that of the whole loss."""
    out = outputs(head)
    terms = loss_terms(out, LABELS, LossConfig())
    found = compare_gradients(out, terms)
    whole = torch.autograd.grad(torch.stack(list(terms.values())).sum(), out.pieces.pooled)
    length = torch.cat([one.flatten() for one in whole]).norm()
    own, guided = found["own"], found["guided"]
    together = (own**2 + guided**2 + 2 * own * guided * found["cosine"]) ** 0.5
    assert min(own, guided) > 0
    assert together == pytest.approx(float(length), rel=1e-4)


@pytest.mark.parametrize("head", ["pcb", "mgn"])
def test_distillation_of_logits_is_to_all_classifiers_of_pieces(head: str) -> None:
    out = outputs(head)
    terms = loss_terms(out, LABELS, build(LossConfig, {"teach": {"logits": 1, "relations": 1}}, "test"))
    assert {"logits_global", "relations_global"} <= terms.keys()
    terms["logits_global"].backward()
    assert all(logits.grad_fn is not None for logits in out.logits.values())
