"""Which terms each network has, and their weights."""

import pytest
import torch

from dsa_train.losses.config import LossConfig
from dsa_train.losses.identity import cross_entropy
from dsa_train.losses.terms import loss_terms, total_loss
from dsa_train.losses.triplet import batch_hard_triplet
from dsa_train.network.two_stream import Outputs
from random_features import sampled

LABELS = torch.tensor([0, 0, 2, 2])


def outputs(*names: str) -> Outputs:
    """Features of the names given, and logits on every f and z of them; 4 images, 3 identities."""
    features = {
        name: sampled(4, 16, seed).unflatten(1, (8, 2)) if "local" in name else sampled(4, 2, seed)
        for seed, name in enumerate(names)
    }
    classified = [name for name in names if name[0] in "fz" and name != "f_local"]
    classified += [f"f_local_{i}" for i in range(8)] if "f_local" in names else []
    logits = {name: sampled(4, 3, 100 + seed) for seed, name in enumerate(classified)}
    empty = dict.fromkeys(Outputs._fields)
    return Outputs(**(empty | features | {"logits": logits}))


def test_the_thirteen_terms_and_their_weights() -> None:
    out = outputs("f_global", "f_local", "d_global", "d_local", "z_global", "z_local")
    found = loss_terms(out, LABELS, LossConfig())
    assert len(found) == 13
    expected = {"id_f_global": 0.5 * cross_entropy(out.logits["f_global"], LABELS, 0.1)}
    for i in range(8):
        expected[f"id_f_local_{i}"] = 0.5 * cross_entropy(out.logits[f"f_local_{i}"], LABELS, 0.1)
    expected["id_z_global"] = cross_entropy(out.logits["z_global"], LABELS, 0.1)
    expected["id_z_local"] = cross_entropy(out.logits["z_local"], LABELS, 0.1)
    expected["triplet_z_global"] = 1.5 * batch_hard_triplet(out.z_global, LABELS, 0.3)
    expected["triplet_z_local"] = 1.5 * batch_hard_triplet(out.z_local.flatten(1), LABELS, 0.3)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    torch.testing.assert_close(total_loss(found), sum(expected.values()))


def test_terms_of_the_ablations() -> None:
    baseline = loss_terms(outputs("f_global"), LABELS, LossConfig())
    assert list(baseline) == ["id_f_global", "triplet_f_global"]
    two_branches = loss_terms(outputs("f_global", "f_local"), LABELS, LossConfig())
    assert {"id_f_global", "id_f_local_7", "triplet_f_global", "triplet_f_local"} <= two_branches.keys()
    assert len(two_branches) == 11
    single_global = loss_terms(outputs("f_global", "d_global", "z_global"), LABELS, LossConfig())
    assert sorted(single_global) == ["id_f_global", "id_z_global", "triplet_z_global"]
    single_local = loss_terms(outputs("f_local", "d_local", "z_local"), LABELS, LossConfig())
    assert len(single_local) == 8 + 2

    ratio = baseline["id_f_global"] / cross_entropy(outputs("f_global").logits["f_global"], LABELS, 0.1)
    assert ratio.item() == pytest.approx(1.0)  # its feature is the one that is matched
    both = outputs("f_global", "f_local")
    ratio = two_branches["id_f_global"] / cross_entropy(both.logits["f_global"], LABELS, 0.1)
    assert ratio.item() == pytest.approx(0.5)


def test_circle_takes_the_triplets_place() -> None:
    found = loss_terms(outputs("f_global", "d_global", "z_global"), LABELS, LossConfig(metric="circle", circle=0.5))
    assert sorted(found) == ["circle_z_global", "id_f_global", "id_z_global"]
