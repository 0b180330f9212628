"""Options beyond the paper: off by default, and exact to the bit over an interruption."""

import os
import signal

import pytest
import torch

from dsa_train import checkpoint, loop, stage
from dsa_train.batches.feed import epoch_order, feed
from dsa_train.loop import Run
from dsa_train.losses.terms import loss_terms
from dsa_train.network.two_stream import TwoStream
from dsa_train.network.weights import load_trunk
from dsa_train.stopping import StoppedError

from .test_stage import STEPS, at, content

TINY = {"trunk": "resnet18", "width": 0.125}
NETWORK = {"main": TINY, "weights": "none", "classifier_width": 8}
EXTRAS = {
    "neck": {"network": {**NETWORK, "main": {**TINY, "neck": "bn"}}},
    "gem": {"network": {**NETWORK, "main": {**TINY, "pooling": "gem"}}},
    "circle": {"losses": {"metric": "circle"}},
    "cosine": {"schedule": {"warmup": 1, "fall": "cosine", "end": 3}},
    "ema": {"ema": 0.9},
    "accumulate": {"accumulate": 3},
    "freeze": {"freeze": 2},
    "jitter": {"augment": {"jitter": [0.3, 0.3, 0.3]}},
    "recomputed": {"speed": {"checkpoint_branches": True}},
    "all": {
        "network": {**NETWORK, "main": {**TINY, "neck": "bn", "pooling": "gem"}},
        "ema": 0.9,
        "accumulate": 3,
        "freeze": 2,
        "augment": {"jitter": [0.1, 0.1, 0.1]},
    },
}


QUICK = ("accumulate", "ema", "all")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in EXTRAS]
)
def test_interrupted_in_an_epoch_and_resumed_to_the_bit(train, tmp_path, monkeypatch, name):
    settings = {"epochs": 3, **EXTRAS[name]}
    train(tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "loss_terms", at(STEPS + 2, lambda: os.kill(os.getpid(), signal.SIGTERM)))
        with pytest.raises(StoppedError):
            train(tmp_path / "parts", **settings)
    state = checkpoint.load(tmp_path / "parts" / "checkpoint.pt")
    assert (state["epoch"], state["step"]) == (1, 3 if "accumulate" in settings else 2), "only between steps"
    train(tmp_path / "parts", **settings)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


def test_all_are_off_by_default(small):
    config = small()
    assert (config.ema, config.accumulate, config.freeze, config.synchronised_norm) == (0, 1, 0, False)
    assert (config.network.main.neck, config.network.main.pooling) == ("none", "average")
    assert (config.losses.metric, config.schedule.fall, config.augment.jitter) == ("triplet", "steps", (0, 0, 0))


def test_a_frozen_trunk_stays_as_it_was_loaded_and_then_learns(train, tmp_path):
    trunks = []
    for epochs in (1, 2, 3):
        train(tmp_path, epochs=epochs, freeze=2)
        state = checkpoint.load(tmp_path / "checkpoint.pt")["network"]
        trunks.append({name: value for name, value in state.items() if name.startswith("main.trunk.")})
        heads = state["main.global_head.0.conv1.weight"]
        trunks[-1]["head"] = heads
    first, second, third = trunks
    assert all(torch.equal(second[name], value) for name, value in first.items() if name != "head")
    assert not torch.equal(second["head"], first["head"])
    moved = [name for name, value in second.items() if not torch.equal(third[name], value)]
    assert {"main.trunk.conv1.weight", "main.trunk.bn1.running_mean"} <= set(moved)


def test_accumulated_gradients_are_the_mean_of_the_batches(train, tiny, small, tmp_path):
    """Against a loop that adds up gradients by hand; four batches, so a step of three and one of the one left over."""
    config = small(epochs=1, accumulate=3)
    train(tmp_path, epochs=1, accumulate=3)
    found = checkpoint.load(tmp_path / "checkpoint.pt")

    data = stage.open_training_set(tiny.root, tiny.records("train"), tiny.store(), config)
    torch.manual_seed(0)
    network = TwoStream(config.network, data.identities)
    load_trunk(network.main, "none")
    optimiser = Run(network, config).optimiser
    network.train()
    order = epoch_order(data, config, 0)
    for group in ([0, 1, 2], [3]):
        total = [torch.zeros_like(p) for p in network.parameters()]
        for n in group:
            images, parts, *_ = feed(data.images.read(order[n].tolist()), data, config, 0, n)
            loss = sum(loss_terms(network(images, parts), data.labels[order[n]], config.losses).values())
            for mean, gradient in zip(total, torch.autograd.grad(loss, list(network.parameters())), strict=True):
                mean += gradient / len(group)
        for p, mean in zip(network.parameters(), total, strict=True):
            p.grad = mean
        optimiser.step()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(found["network"][name], value, rtol=1e-3, atol=2e-5, msg=name)
    assert {int(entry["step"]) for entry in found["optimiser"]["state"].values()} == {2}


def test_the_model_has_the_averaged_weights(train, tmp_path):
    train(tmp_path, epochs=2, ema=0.9)
    state = checkpoint.load(tmp_path / "checkpoint.pt")
    assert state["network"].keys() == state["trained"].keys()
    assert not torch.equal(state["network"]["main.trunk.conv1.weight"], state["trained"]["main.trunk.conv1.weight"])
    assert "trained" not in checkpoint.load(train(tmp_path / "plain").with_name("checkpoint.pt"))
