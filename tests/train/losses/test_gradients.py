import pytest
import torch

from dsa_train.losses.gradients import compare_gradients
from dsa_train.network.two_stream import Outputs


def outputs(f: torch.Tensor, z: torch.Tensor | None) -> Outputs:
    return Outputs(f, None, None, None, z, None, {})


def test_gradients_by_hand():
    f = torch.zeros(2, 1, requires_grad=True)
    z = f + 1
    losses = {"id_f_global": 3 * f[0].sum(), "id_z_global": 4 * z[1].sum(), "triplet_z_global": 3 * z[0].sum()}
    found = compare_gradients(outputs(f, z), losses)
    assert found["own"] == pytest.approx(3)
    assert found["guided"] == pytest.approx(5)
    assert found["cosine"] == pytest.approx(3 / 5)
    torch.stack(list(losses.values())).sum().backward()  # the graph is still there
    assert f.grad.flatten().tolist() == [6, 4]


def test_where_the_guide_reaches_nothing():
    f = torch.zeros(2, 1, requires_grad=True)
    d = torch.zeros(2, 1, requires_grad=True)
    z = f.detach() + d  # streams apart
    found = compare_gradients(outputs(f, z), {"id_f_global": f.sum(), "id_z_global": z.sum()})
    assert (found["guided"], found["cosine"]) == (0, 0)
    assert compare_gradients(outputs(f, None), {"id_f_global": f.sum()}) == {}


def test_where_all_below_the_features_is_frozen():
    f, d = torch.zeros(2, 1), torch.zeros(2, 1, requires_grad=True)
    losses = {"triplet_f_global": f.sum(), "id_z_global": (f + d).sum()}
    assert compare_gradients(outputs(f, f + d), losses) == {}
    own = f + torch.zeros(2, 1, requires_grad=True)
    found = compare_gradients(outputs(own, own + d), {"triplet_f_global": f.sum(), "id_z_global": (own + d).sum()})
    assert (found["own"], found["guided"]) == (0, pytest.approx(2**0.5))
