"""The training loop: batch, forward, losses, backward, step, log, evaluate, checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from . import checkpoint
from .config import EvaluateConfig, TrainConfig
from .device import autocast, memory_explained
from .feed import TrainingSet, epoch_order, feed
from .interrupt import Interrupts, StoppedError
from .log import Log, Losses, Ticker
from .losses import terms
from .network import TwoStream
from .retrieval import measure
from .schedule import learning_rate

OUT_OF_MEMORY = (
    "Take fewer identities or pictures in a batch (train.identities, train.pictures), smaller pictures (train.height, "
    "train.width), or bfloat16 (train.precision)."
)


class Run:
    """The state of a training run: network, optimiser, and how far it has come.

    Attributes:
        epoch: epochs done.
        step: steps done of the next one.
        losses: of those steps.
        history: what was logged of each epoch done.
    """

    def __init__(self, network: TwoStream, config: TrainConfig) -> None:
        self.network, self.config = network, config
        self.optimiser = torch.optim.Adam(
            network.parameters(), lr=learning_rate(0, config.schedule), weight_decay=config.weight_decay, fused=True
        )
        self.epoch, self.step = 0, 0
        self.losses = Losses()
        self.history: list[dict[str, float]] = []

    def state(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Return all that `restore` needs, as tensors and plain values.

        Batches, augmentation and learning rate are functions of the seed and the place in the run, and bfloat16
        needs no scaler: there is no state of theirs to keep.
        """
        return {
            "configuration": configuration,
            "epoch": self.epoch,
            "step": self.step,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "random": checkpoint.random_states(),
            "losses": {"names": self.losses.names, "steps": self.losses.steps},
            "history": self.history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, on whatever device the network is."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        checkpoint.restore_random(state["random"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.losses = Losses(state["losses"]["names"], state["losses"]["steps"])
        self.history = state["history"]


def train(run: Run, data: TrainingSet, configuration: dict[str, Any], out: Path) -> None:
    """Go on with `run` until its last epoch is done, logging and saving under `out`.

    Args:
        configuration: what the checkpoint says it was made with.

    Raises:
        StoppedError: after SIGTERM or SIGINT, when everything is saved.
        TrainingError: for a loss that is not finite, and where memory does not suffice.
    """
    config, network = run.config, run.network
    device = next(network.parameters()).device
    path = out / "checkpoint.pt"
    steps, B = epoch_order(data, config, run.epoch).shape  # every epoch has as many
    ticker = Ticker(run.epoch * steps + run.step, config.epochs * steps, B)
    memory = memory_explained(f"batches of {B} pictures of {config.height}x{config.width}", OUT_OF_MEMORY)

    with Log(out / "live", run.history, config.tensorboard) as log, Interrupts() as asked, memory:
        while run.epoch < config.epochs:
            rate = learning_rate(run.epoch, config.schedule)
            for group in run.optimiser.param_groups:
                group["lr"] = rate
            network.train()
            order = epoch_order(data, config, run.epoch)[run.step :]  # (steps, B)
            batches = data.pictures.batches(order.tolist(), config.workers, pin=device.type == "cuda")
            for places, batch in zip(order, batches, strict=True):
                images, parts = feed(batch.to(device), data, config, run.epoch, run.step)
                labels = data.labels[places].to(device)  # (B)

                with autocast(device, config.precision):
                    outputs = network(images, parts)
                losses = terms(outputs, labels, config.losses)
                run.optimiser.zero_grad()
                torch.stack(list(losses.values())).sum().backward()
                run.optimiser.step()

                run.step += 1
                run.losses.add(losses)
                ticker.step(f"epoch {run.epoch + 1}/{config.epochs}, step {run.step}/{steps}", run.losses)
                if asked.number and run.step < steps:
                    checkpoint.save(path, run.state(configuration))
                    raise _stopped(run, path, asked.number)

            row = {"epoch": run.epoch + 1, "lr": rate, **_named(run.losses.means())}
            run.epoch, run.step, run.losses = run.epoch + 1, 0, Losses()
            if data.retrieval and _due(run.epoch, config.evaluate_every, config.epochs):
                result, _ = measure(network, data.retrieval, EvaluateConfig(), config.workers)
                row |= {"rank1": result.rank(1), "mAP": result.mAP}
            run.history.append(row)
            log.write(row)
            ticker.tell(f"epoch {run.epoch}/{config.epochs} done", f"mean loss {row['train/loss']:.3f}")
            if asked.number or _due(run.epoch, config.save_every, config.epochs):
                checkpoint.save(path, run.state(configuration))
            if asked.number and run.epoch < config.epochs:
                raise _stopped(run, path, asked.number)


def _due(epoch: int, every: int, last: int) -> bool:
    return every > 0 and (epoch % every == 0 or epoch == last)


def _named(means: Mapping[str, float]) -> dict[str, float]:
    return {f"train/{name}": value for name, value in means.items()}


def _stopped(run: Run, path: Path, number: int) -> StoppedError:
    return StoppedError(
        f"Stopped as asked after {run.epoch} epochs and {run.step} steps; all of it is in {path}. "
        "Go on with the same command.",
        number,
    )
