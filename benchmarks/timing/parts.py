"""The time of each part of a step, and its arithmetic as a share of the device's limit."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from dsa_train.batches.feed import TrainingSet, epoch_order, feed
from dsa_train.losses.terms import loss_terms, total_loss
from dsa_train.network.two_stream import Outputs
from dsa_train.torch_setup import autocast

from .both_ways import both_ways
from .side import Batch, Side
from .turns import Turns


def shares(side: Side, data: TrainingSet, batch: Batch, turns: Turns) -> dict[str, float]:
    """Return each part's share of a step, forward and backward, each timed separately."""
    images, parts, labels = batch
    network, config, device = side.network, side.config, side.device
    images = images.contiguous(memory_format=network.memory_format)
    main, guide = network.main, network.guide
    assert guide is not None, "the benchmark trains with the guide"
    with torch.no_grad(), autocast(device, config.precision):
        F, D = main.trunk(images), guide.branches(parts)
        outputs = network(images, parts)
    order = epoch_order(data, config, 0)[0].tolist()
    part = functools.partial(both_ways, device=device, precision=config.precision)

    def read_batch() -> None:
        feed(data.images.read(order).to(device), data, config, 0, 0)

    def compute_losses() -> None:
        leaves = outputs._asdict() | {
            name: getattr(outputs, name).detach().requires_grad_() for name in ("z_global", "z_local")
        }
        leaves["logits"] = {name: x.detach().requires_grad_() for name, x in outputs.logits.items()}
        total_loss(loss_terms(Outputs(**leaves), labels, config.losses)).backward()

    def classify(*features: torch.Tensor) -> list[torch.Tensor]:
        return [layers(x) for layers, x in zip(network.classifiers.values(), features, strict=True)]

    inputs = (outputs.f_global, *outputs.f_local.unbind(1), outputs.z_global, outputs.z_local.flatten(1))
    jobs: dict[str, Callable[[], object]] = {
        "data": read_batch,
        "trunk": part(lambda: main.trunk(images)),
        "branches": part(lambda: guide.branches(parts)),
        "heads (conv5 of both streams)": part(
            lambda f, d: (main.global_head(f), main.local_head(f), guide.global_head(d), guide.local_head(d)), F, D
        ),
        "classifiers": part(classify, *inputs),
        "losses": compute_losses,
        "optimiser": side.optimiser.step,
    }
    seconds = turns.seconds(jobs)
    total = sum(seconds.values())
    return {name: round(value / total, 4) for name, value in seconds.items()}


def utilisation(side: Side, batch: Batch, seconds: float) -> dict[str, float]:
    """Return the operations a second of a step and of a matrix product of the same precision."""
    images, parts, _ = batch
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        side.network(images, parts)
    gflop = 3 * counter.get_total_flops() / 1e9  # backward is twice the forward pass
    n = 1024 if side.device.type == "cpu" else 8192
    a = torch.randn((n, n), device=side.device).to(getattr(torch, side.config.precision))
    product = Turns(side.device, 5).seconds({"product": lambda: a @ a})["product"]
    reached, possible = gflop / seconds, 2e-9 * n**3 / product
    return {
        "gflop_a_step": round(gflop, 1),
        "gflop_a_second": round(reached, 1),
        "gflop_a_second_of_a_matrix_product": round(possible, 1),
        "share": round(reached / possible, 3),
    }
