"""The training loop (section 4.2): `train_step` is one batch, `train_epoch` an epoch, `train` the run.

An epoch shows every image at least once, in batches of P identities with K images each. After each epoch `train` logs
the mean losses, evaluates if it is due, and saves a checkpoint.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from dsa_app.errors import TrainingError
from dsa_reid.region_pooling import in_cells
from dsa_reid.upload import upload

from . import checkpoint
from .batches.feed import Inputs, TrainingSet, epoch_order, feed
from .batches.guidance import guide_weight
from .batches.regions import weighted_shares
from .config import TrainConfig
from .distributed import Processes, without_gradient_exchange
from .ema import AveragedWeights
from .evaluation.config import EvaluateConfig
from .evaluation.retrieval import Retrieval, measure
from .graphed import GraphedStep, cuda_graph_of
from .log import EpochLosses, Log, Progress
from .losses.gradients import compare_gradients
from .losses.regions import cells_right
from .losses.terms import loss_terms, region_terms, total_loss
from .network.performance import apply_performance
from .network.two_stream import Outputs, TwoStream
from .optimiser import grouped, make_optimiser, set_rates, update
from .schedule import learning_rate, ramp
from .stopping import Interrupts, StoppedError
from .torch_setup import autocast, memory_explained

OUT_OF_MEMORY = (
    "Use a smaller batch (train.identities, train.pictures), smaller images (train.height, train.width), or "
    "train.precision=bfloat16."
)


class Run:
    """The state of a training run: network, optimiser, and the epochs and steps done.

    Attributes:
        module: to call for a forward pass: the network, or with several processes DistributedDataParallel around it.
        average: of the weights, if the configuration asks for one; then it is evaluated and saved as the model.
        graphed: takes the steps of an epoch by a CUDA graph; None where that is switched off or impossible.
        processes: that share the run.
        epoch: epochs done.
        step: batches done of the next one.
        losses: of those batches.
        cells: the part of the cells of those batches that the region heads have right, and the mean label map.
        history: the row that was logged of each epoch done.
        pretrained: which weights the network started from, with their colours, as model.pt keeps it; None for random.
    """

    def __init__(self, network: TwoStream, config: TrainConfig, processes: Processes | None = None) -> None:
        self.network, self.config = apply_performance(network, config.speed), config
        self.processes = processes or Processes()
        self._groups = grouped(network, config)
        self.optimiser = make_optimiser(self._groups, config)
        self.average = AveragedWeights(network, config.ema) if config.ema else None
        self.epoch, self.step = 0, 0
        self.losses, self.cells = (EpochLosses(mean=self.processes.mean) for _ in range(2))
        self.history: list[dict[str, float]] = []
        self.pretrained: dict[str, Any] | None = None
        self.module: nn.Module | None = None
        self.graphed: GraphedStep | None = None
        self._local_pooling = network.main.local_pooling
        if self._local_pooling is not None:
            self._local_pooling.detach, self._local_pooling.steer = config.regions.detach, config.regions.steer
        self._trunk = [weight for weight in network.main.trunk.parameters() if weight.requires_grad]

    def start_epoch(self) -> None:
        """Set what depends on the epoch: rates, the weights of guide and regions, and whether the trunk learns."""
        set_rates(self.optimiser, self._groups, self.epoch, self.config)
        if self._local_pooling is not None:
            self._local_pooling.ramp.fill_(ramp(self.epoch, self.config.regions.ramp))
        self.network.guide_weight.fill_(guide_weight(self.epoch, self.config.guidance))
        frozen = self.epoch < self.config.freeze
        self.network.train()
        self.network.main.trunk.train(not frozen)
        # DistributedDataParallel exchanges the gradients of those weights that required one when it was made, so it is
        # made again where the trunk is frozen or released.
        if self.module is None or self._trunk[0].requires_grad == frozen:
            for weight in self._trunk:
                weight.requires_grad_(not frozen)
            self.module = self.processes.wrap(self.network, self.config.synchronised_norm)
        # A graph has the learning rate and the frozen layers of the epoch in which it is recorded.
        self.graphed = self._new_graph() if self.config.speed.cuda_graph else None

    def _new_graph(self) -> GraphedStep | None:
        """Return the steps of an epoch by a CUDA graph; None where they cannot be recorded."""
        on_gpu = next(self.network.parameters()).device.type == "cuda"
        if not (on_gpu and self.is_plain):
            return None
        return GraphedStep(functools.partial(plain_step, self), functools.partial(cuda_graph_of, self.optimiser))

    @property
    def is_plain(self) -> bool:
        """Whether `plain_step` is a whole step: no regions, cameras, dropped guide, group of batches or processes."""
        config = self.config
        regions = self._local_pooling is not None or config.network.region_teacher
        more = regions or config.network.main.sie > 0
        return not more and not config.guidance.drop and config.accumulate == 1 and self.processes.size == 1

    def final_weights(self) -> AbstractContextManager[None]:
        """Return a context in which the network has the weights that are evaluated and saved as the model."""
        return self.average.applied_to(self.network) if self.average else nullcontext()

    def state(self, configuration: dict[str, Any]) -> dict[str, Any]:
        """Return all that `restore` needs, as tensors and plain values.

        Batches, augmentation and learning rate are functions of the seed, the epoch and the step, and bfloat16 needs no
        gradient scaler: they have no state to save. The number of processes is not part of it. "network" has the
        weights that are evaluated; where they are an average, "trained" has those that the optimiser changes.
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
            **({"cells": {"names": self.cells.names, "steps": self.cells.steps}} if self.cells.names else {}),
            "history": self.history,
            **({"pretrained": self.pretrained} if self.pretrained else {}),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that `state` returned, on whatever device the network is."""
        self.network.load_state_dict(state.get("trained", state["network"]))
        if self.average:
            self.average.restore(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        checkpoint.restore_random(state["random"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.losses, self.cells = (
            EpochLosses(state[name]["names"], state[name]["steps"], self.processes.mean)
            if name in state
            else EpochLosses(mean=self.processes.mean)
            for name in ("losses", "cells")
        )
        self.history, self.pretrained = state["history"], state.get("pretrained")


class Accumulation(NamedTuple):
    """Where a batch is among those whose gradients make one step of the optimiser."""

    first: bool
    last: bool
    batches: int  # of this step; fewer than `accumulate` for the last one of an epoch


def accumulation(step: int, steps: int, accumulate: int) -> Accumulation:
    """Return where batch `step` of an epoch of `steps` batches is, `accumulate` batches making a step."""
    position = step % accumulate
    batches = min(accumulate, steps - (step - position))
    return Accumulation(position == 0, position + 1 == batches, batches)


class Step(NamedTuple):
    """What a step of the training returns.

    Args:
        losses: the weighted terms of the loss by name.
        comparison: of the gradients that f gets from its own losses and through the guide; empty unless asked for.
        cells: the part of the cells whose region is right, as "accuracy_16" by the region head at stride 16, and
            "template_16" by the mean label map; empty without labels of regions.
    """

    losses: dict[str, torch.Tensor]
    comparison: dict[str, float]
    cells: dict[str, torch.Tensor]


def train_step(
    run: Run,
    inputs: Inputs,
    labels: torch.Tensor,
    group: Accumulation,
    compare: bool = False,
    templates: Mapping[int, torch.Tensor] | None = None,
) -> Step:
    """Train on one batch: forward, losses, backward and, with the last batch of its group, the optimiser's step.

    Args:
        run: after `Run.start_epoch`.
        inputs: images, part images and labels of regions; with several processes this process's share.
        labels: int64 (B), identities numbered from 0.
        group: the batch's position among those whose gradients are averaged.
        compare: compare the gradients that f gets from its own losses and through the guide, which costs time.
        templates: the mean label map at each stride, (9, h, w).
    """
    config, module = run.config, run.module
    assert module is not None, "an epoch was started"
    if run.graphed is not None and not compare:
        tensors = [tensor for tensor in (inputs.images, labels, inputs.parts) if tensor is not None]
        losses = run.graphed(*tensors)
        if run.average:
            run.average.update(run.network)
        return Step(losses, {}, {})
    # With several processes each backward pass averages the gradients over all of them. Before the last batch of a
    # group that is left out, since the sum of the group's gradients is all that counts.
    with without_gradient_exchange(module, not group.last):
        # The network runs in bfloat16 where `precision` says so, the losses always in float32 (`losses.precision`).
        with autocast(inputs.images.device, config.precision):
            # f, d, z: (B, G) and (B, 8, L); logits (B, identities)
            outputs = module(inputs.images, inputs.parts, inputs.unguided, inputs.regions, inputs.cameras)
        # The paper's thirteen terms (section 3.2.4). Hard triplets are searched in the batches of all processes.
        losses = loss_terms(outputs, labels, config.losses, run.processes.gather, config.network.classifier)
        # Where the regions are, by pixel: (B, 9, H, W).
        shares = None if inputs.regions is None else weighted_shares(inputs.regions, inputs.region_confidence)
        losses |= region_terms(outputs, shares, config.regions)
        comparison = compare_gradients(outputs, losses) if compare else {}
        if group.first:
            run.optimiser.zero_grad()
        # Each batch adds its gradient; dividing makes their sum the mean over the group.
        (total_loss(losses) / group.batches).backward()
    if group.last:
        update(run.optimiser, run.network, config)
        if run.average:
            run.average.update(run.network)
    return Step(losses, comparison, _cells(outputs, shares, templates or {}))


def plain_step(
    run: Run, images: torch.Tensor, labels: torch.Tensor, parts: torch.Tensor | None = None
) -> dict[str, torch.Tensor]:
    """Take a step of a batch alone, without region heads and other processes; return the losses by name."""
    assert run.module is not None, "an epoch was started"
    with autocast(images.device, run.config.precision):
        outputs = run.module(images, parts)
    losses = loss_terms(outputs, labels, run.config.losses, run.processes.gather, run.config.network.classifier)
    run.optimiser.zero_grad()
    total_loss(losses).backward()
    update(run.optimiser, run.network, run.config)
    return {name: loss.detach() for name, loss in losses.items()}


def _cells(
    outputs: Outputs, shares: torch.Tensor | None, templates: Mapping[int, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """Return `Step.cells`."""
    cells: dict[str, torch.Tensor] = {}
    if shares is not None and outputs.regions is not None:
        for level, logits in outputs.regions.items():
            labels = in_cells(shares, (logits.shape[2], logits.shape[3]))
            cells[f"accuracy_{level}"] = cells_right(logits, labels)
            if level in templates:
                cells[f"template_{level}"] = cells_right(templates[level][None], labels)
    return cells


def train_epoch(run: Run, data: TrainingSet, progress: Progress, interrupts: Interrupts) -> dict[str, float] | None:
    """Train the rest of the current epoch; return the row to log, or None if a signal interrupted it.

    The row has "epoch" (epochs done), "lr", the mean of each loss term as "train/NAME", how the guide's gradients
    compare in the epoch's last batch as "guide/NAME", and the part of cells with the right region as "regions/NAME".
    """
    config = run.config
    run.start_epoch()
    order = epoch_order(data, config, run.epoch)  # (steps, B): indices of images
    steps = len(order)
    comparison: dict[str, float] = {}
    for inputs, labels in _rest_of_epoch(run, data, order):
        group = accumulation(run.step, steps, config.accumulate)
        # One comparison an epoch is enough to follow the guide; a network compiled as a whole does not expose f.
        compare = run.step + 1 == steps and config.speed.compile in ("off", "parts")
        losses, comparison, cells = train_step(run, inputs, labels, group, compare, data.templates)
        run.step += 1
        run.losses.add(losses)
        if cells:
            run.cells.add(cells)
        progress.step(f"epoch {run.epoch + 1}/{config.epochs}, step {run.step}/{steps}", run.losses)
        # Stop only between steps of the optimiser: gradients accumulated so far are in no checkpoint. All processes
        # agree on it, for a signal may have reached one of them.
        if group.last and run.step < steps and run.processes.maximum(interrupts.number):
            return None

    row = {"epoch": run.epoch + 1, "lr": learning_rate(run.epoch, config.schedule)}
    row |= {f"train/{name}": value for name, value in run.losses.means().items()}
    row |= {f"guide/{name}": value for name, value in comparison.items()}
    row |= {f"regions/{name}": value for name, value in run.cells.means().items() if name != "loss"}
    run.epoch, run.step = run.epoch + 1, 0
    run.losses, run.cells = (EpochLosses(mean=run.processes.mean) for _ in range(2))
    return row


def _rest_of_epoch(run: Run, data: TrainingSet, order: torch.Tensor) -> Iterator[tuple[Inputs, torch.Tensor]]:
    """Yield this process's share of each batch from `run.step` on: inputs and identities, on the device."""
    device = next(run.network.parameters()).device
    own = run.processes.share(order.shape[1])
    order = order[run.step :, own]  # (steps left, B / processes)
    # Threads read the next batches from disk or memory while the network computes this one.
    batches = data.images.batches(order.tolist(), run.config.workers, pin=device.type == "cuda")
    for step, (indices, batch) in enumerate(zip(order, batches, strict=True), start=run.step):
        inputs = feed(batch.to(device), data, run.config, run.epoch, step, own)
        if data.cameras is not None:
            inputs = inputs._replace(cameras=upload(data.cameras[indices], device))
        yield inputs, upload(data.labels[indices], device)


def train(
    run: Run,
    data: TrainingSet,
    configuration: dict[str, Any],
    out: Path,
    retrieval: Retrieval | None = None,
    evaluation: EvaluateConfig | None = None,
) -> None:
    """Train `run` until its last epoch is done; the main process logs and saves under `out`.

    Args:
        configuration: written into the checkpoint, and compared when it is resumed.
        retrieval: query and gallery to evaluate on every `evaluate_every` epochs, for the log alone; None for never.
        evaluation: how they are evaluated; by default as the paper evaluates.

    Raises:
        StoppedError: after SIGTERM or SIGINT to any process, when everything is saved.
        TrainingError: for a loss that is not finite, if memory does not suffice, or if another process ended.
    """
    config, processes = run.config, run.processes
    path = out / "checkpoint.pt"
    steps, B = epoch_order(data, config, run.epoch).shape  # the same for every epoch
    progress = Progress(run.epoch * steps + run.step, config.epochs * steps, B, quiet=not processes.is_main)
    memory = memory_explained(f"batches of {B} images of {config.height}x{config.width}", OUT_OF_MEMORY)
    log = Log(out / "live", run.history, config.tensorboard) if processes.is_main else None
    if processes.size > 1:
        _save(run, configuration, path)  # so that there is a checkpoint to resume whenever a process is lost

    with log or nullcontext(), processes.lost_explained(path), memory, Interrupts() as interrupts:
        while run.epoch < config.epochs:
            row = train_epoch(run, data, progress, interrupts)
            if row is not None:
                run.history.append(row)
                if retrieval and _due(run.epoch, config.evaluate_every, config.epochs):
                    _save(run, configuration, path)  # so that an evaluation that fails or is killed loses nothing
                    if processes.is_main:
                        row |= _evaluate(run, retrieval, evaluation or EvaluateConfig())
                if log:
                    log.write(row)
                progress.report(f"epoch {run.epoch}/{config.epochs} done", f"mean loss {row['train/loss']:.3f}")
            number = processes.maximum(interrupts.number)
            if number or _due(run.epoch, config.save_every, config.epochs):
                _save(run, configuration, path)
            if number and run.epoch < config.epochs:
                raise _stopped(run, path, number)


def _evaluate(run: Run, retrieval: Retrieval, evaluation: EvaluateConfig) -> dict[str, float]:
    """Return Rank-1 and mAP of the main stream, as it would be deployed now."""
    with run.final_weights():
        result, _ = measure(run.network, retrieval, evaluation, run.config.workers)
    return {"rank1": result.rank(1), "mAP": result.mAP}


def _save(run: Run, configuration: dict[str, Any], path: Path) -> None:
    """Save a checkpoint; the main process writes it, but all must call this."""
    state = run.state(configuration)  # averages losses that were not yet checked over all processes
    for name, value in state["network"].items():
        if value.is_floating_point() and not value.isfinite().all():
            raise TrainingError(
                f"The weights are not finite after {run.epoch} epochs and {run.step} steps ({name}). They were not "
                f"saved; the last good checkpoint, if there was one, is {path}. Lower train.schedule.lr, or use a "
                "longer warm-up (train.schedule.warmup)."
            )
    if run.processes.is_main:
        checkpoint.save(path, state)


def _due(epoch: int, every: int, last: int) -> bool:
    return every > 0 and (epoch % every == 0 or epoch == last)


def _stopped(run: Run, path: Path, number: int) -> StoppedError:
    return StoppedError(
        f"Interrupted after {run.epoch} epochs and {run.step} steps; the checkpoint is {path}. Run the same command to "
        "resume.",
        number,
    )
