"""The training loop: batch, forward, losses, backward, step, log, evaluate, checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dsa_app.errors import TrainingError

from . import checkpoint
from .batches.feed import TrainingSet, epoch_order, feed
from .batches.guidance import guide_weight
from .config import TrainConfig
from .device import autocast, memory_explained
from .distributed import Processes, unsynchronised
from .ema import Average
from .evaluation.config import EvaluateConfig
from .evaluation.retrieval import measure
from .interrupt import Interrupts, StoppedError
from .log import Log, Losses, Ticker
from .losses.gradients import influence
from .losses.terms import terms
from .network.performance import hasten
from .network.two_stream import TwoStream
from .schedule import learning_rate

OUT_OF_MEMORY = (
    "Take fewer identities or pictures in a batch (train.identities, train.pictures), smaller pictures (train.height, "
    "train.width), or bfloat16 (train.precision)."
)


class Run:
    """The state of a training run: network, optimiser, and how far it has come.

    Attributes:
        average: of the weights, if the configuration asks for one; then it is what is measured and kept.
        processes: that share the run.
        epoch: epochs done.
        step: batches done of the next one.
        losses: of those batches.
        history: what was logged of each epoch done.
    """

    def __init__(self, network: TwoStream, config: TrainConfig, processes: Processes | None = None) -> None:
        self.network, self.config = hasten(network, config.speed), config
        self.processes = processes or Processes()
        self.optimiser = torch.optim.Adam(
            network.parameters(),
            lr=learning_rate(0, config.schedule),
            weight_decay=config.weight_decay,
            fused=config.speed.fused_optimiser,
        )
        self.average = Average(network, config.ema) if config.ema else None
        self.epoch, self.step = 0, 0
        self.losses = Losses(mean=self.processes.mean)
        self.history: list[dict[str, float]] = []
        self._trunk = [weight for weight in network.main.trunk.parameters() if weight.requires_grad]
        self._forward: nn.Module | None = None

    def forward(self) -> nn.Module:
        """Set the network to training, the trunk frozen or not, and return what computes the forward pass."""
        frozen = self.epoch < self.config.freeze
        self.network.train()
        self.network.main.trunk.train(not frozen)
        if self._forward is None or self._trunk[0].requires_grad == frozen:
            for weight in self._trunk:
                weight.requires_grad_(not frozen)
            self._forward = self.processes.wrap(self.network, self.config.synchronised_norm)
        return self._forward

    def used(self) -> AbstractContextManager[None]:
        """Return a context in which the network has the weights that are measured and kept."""
        return self.average.used(self.network) if self.average else nullcontext()

    def state(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Return all that `restore` needs, as tensors and plain values.

        Batches, augmentation and learning rate are functions of the seed and the place in the run, and bfloat16
        needs no scaler: there is no state of theirs to keep. Nothing tells how many processes there were. "network"
        has the weights that are used; where they are an average, "trained" has those that training goes on with.
        """
        trained = self.network.state_dict()
        return {
            "configuration": configuration,
            "epoch": self.epoch,
            "step": self.step,
            "network": self.average.weights if self.average else trained,
            **({"trained": trained} if self.average else {}),
            "optimiser": self.optimiser.state_dict(),
            "random": checkpoint.random_states(),
            "losses": {"names": self.losses.names, "steps": self.losses.steps},
            "history": self.history,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state, on whatever device the network is."""
        self.network.load_state_dict(state.get("trained", state["network"]))
        if self.average:
            self.average.restore(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        checkpoint.restore_random(state["random"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.losses = Losses(state["losses"]["names"], state["losses"]["steps"], self.processes.mean)
        self.history = state["history"]


def train(run: Run, data: TrainingSet, configuration: dict[str, Any], out: Path) -> None:
    """Go on with `run` until its last epoch is done; the first process logs and saves under `out`.

    Args:
        configuration: what the checkpoint says it was made with.

    Raises:
        StoppedError: after SIGTERM or SIGINT to any process, when everything is saved.
        TrainingError: for a loss that is not finite, where memory does not suffice, and where a process is lost.
    """
    config, network, processes = run.config, run.network, run.processes
    device = next(network.parameters()).device
    path = out / "checkpoint.pt"
    steps, B = epoch_order(data, config, run.epoch).shape  # every epoch has as many
    own = processes.own(B)  # the pictures of a batch that are this process's
    ticker = Ticker(run.epoch * steps + run.step, config.epochs * steps, B, quiet=not processes.leads)
    memory = memory_explained(f"batches of {B} pictures of {config.height}x{config.width}", OUT_OF_MEMORY)
    log = Log(out / "live", run.history, config.tensorboard) if processes.leads else None
    if processes.size > 1:
        _save(run, configuration, path)  # so that there is one to go on from whenever a process is lost

    with log or nullcontext(), Interrupts() as asked, processes.explained(path), memory:
        while run.epoch < config.epochs:
            rate = learning_rate(run.epoch, config.schedule)
            for group in run.optimiser.param_groups:
                group["lr"] = rate
            network.guide_weight.fill_(guide_weight(run.epoch, config.guidance))
            forward = run.forward()
            order = epoch_order(data, config, run.epoch)[run.step :, own]  # (steps, B / processes)
            batches = data.pictures.batches(order.tolist(), config.workers, pin=device.type == "cuda")
            acting: dict[str, float] = {}
            for places, batch in zip(order, batches, strict=True):
                images, parts = feed(batch.to(device), data, config, run.epoch, run.step, own)
                labels = data.labels[places].to(device)  # (B / processes)
                begun = run.step % config.accumulate
                together = min(config.accumulate, steps - (run.step - begun))  # batches that make one step
                last = begun + 1 == together

                with unsynchronised(forward, not last):
                    with autocast(device, config.precision):
                        outputs = forward(images, parts)
                    losses = terms(outputs, labels, config.losses, processes.gather)
                    if run.step + 1 == steps and config.speed.compile == "off":  # one step an epoch tells enough
                        acting = {f"guide/{name}": value for name, value in influence(outputs, losses).items()}
                    if not begun:
                        run.optimiser.zero_grad()
                    (torch.stack(list(losses.values())).sum() / together).backward()
                if last:
                    run.optimiser.step()
                    if run.average:
                        run.average.update(network)

                run.step += 1
                run.losses.add(losses)
                ticker.step(f"epoch {run.epoch + 1}/{config.epochs}, step {run.step}/{steps}", run.losses)
                if last and run.step < steps and (number := processes.greatest(asked.number)):
                    _save(run, configuration, path)
                    raise _stopped(run, path, number)

            row = {"epoch": run.epoch + 1, "lr": rate, **_named(run.losses.means()), **acting}
            run.epoch, run.step, run.losses = run.epoch + 1, 0, Losses(mean=processes.mean)
            if data.retrieval and processes.leads and _due(run.epoch, config.evaluate_every, config.epochs):
                with run.used():
                    result, _ = measure(network, data.retrieval, EvaluateConfig(), config.workers)
                row |= {"rank1": result.rank(1), "mAP": result.mAP}
            run.history.append(row)
            if log:
                log.write(row)
            ticker.tell(f"epoch {run.epoch}/{config.epochs} done", f"mean loss {row['train/loss']:.3f}")
            number = processes.greatest(asked.number)
            if number or _due(run.epoch, config.save_every, config.epochs):
                _save(run, configuration, path)
            if number and run.epoch < config.epochs:
                raise _stopped(run, path, number)


def _save(run: Run, configuration: dict[str, Any], path: Path) -> None:
    """Save what is common to all processes, by the first of them."""
    state = run.state(configuration)  # losses not yet looked at are averaged over all processes
    for name, value in state["network"].items():
        if value.is_floating_point() and not value.isfinite().all():
            raise TrainingError(
                f"The weights are not finite after {run.epoch} epochs and {run.step} steps ({name}); the last good "
                f"checkpoint is kept, if there was one: {path}. Lower train.schedule.lr or warm up for longer "
                "(train.schedule.warmup)."
            )
    if run.processes.leads:
        checkpoint.save(path, state)


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
