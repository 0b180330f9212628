"""A step of the training recorded once as a CUDA graph and replayed: one launch in place of thousands.

The work is recorded with tensors that stay where they are. For every step the batch is copied into them, the graph is
replayed, and the losses are copied out. Numbers are those of the recorded kernels, the same as without a graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

Losses = dict[str, torch.Tensor]
Work = Callable[..., Losses]
Replay = Callable[[], None]
EAGER = 2  # steps before the graph is recorded, in which cuDNN chooses its algorithms and Adam makes its state


class GraphedStep:
    """A step that is computed directly a few times, then recorded and replayed.

    Every call is one step of the training, the first ones and the one that is recorded included. A batch of another
    shape than the recorded one, as the last of an epoch, is computed directly.

    Args:
        work: from the tensors of a batch to losses by name; everything that changes with the step is in the tensors.
        record: records a call without arguments; returns what replays it and the tensors that a replay fills.
    """

    def __init__(self, work: Work, record: Callable[[Callable[[], Losses]], tuple[Replay, Losses]]) -> None:
        self._work, self._record = work, record
        self._calls = 0
        self._inputs: list[torch.Tensor] = []
        self._replay: Replay | None = None
        self._losses: Losses = {}

    def __call__(self, *batch: torch.Tensor) -> Losses:
        """Take one step with the tensors of a batch; return the losses, which later steps leave alone."""
        self._calls += 1
        if self._calls <= EAGER:
            return on_side_stream(self._work, *batch)
        if self._replay is None:
            self._inputs = [tensor.clone() for tensor in batch]
            self._replay, self._losses = self._record(functools.partial(self._work, *self._inputs))
        if [tensor.shape for tensor in batch] != [tensor.shape for tensor in self._inputs]:
            return self._work(*batch)
        for recorded, tensor in zip(self._inputs, batch, strict=True):
            recorded.copy_(tensor)
        self._replay()
        return {name: loss.clone() for name, loss in self._losses.items()}


def on_side_stream(work: Work, *batch: torch.Tensor) -> Losses:
    """Compute on a stream of its own where the batch is on a GPU, as torch asks for before a graph is recorded."""
    device = batch[0].device
    if device.type != "cuda":
        return work(*batch)
    current, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    side.wait_stream(current)
    with torch.cuda.stream(side):
        losses = work(*batch)
    current.wait_stream(side)
    return losses


def cuda_graph_of(optimiser: torch.optim.Optimizer, work: Callable[[], Losses]) -> tuple[Replay, Losses]:
    """Record `work`, a step of the fused `optimiser` included; nothing is computed yet."""
    groups: list[dict[str, Any]] = [group for group in optimiser.param_groups if "capturable" in group]  # not SGD's
    before = [group["capturable"] for group in groups]
    for group in groups:
        group["capturable"] = True  # asked for while a graph is recorded; the fused step is counted on the GPU anyway
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads read the next batches meanwhile, and may allocate memory on the GPU.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            losses = work()
    finally:
        for group, value in zip(groups, before, strict=True):
            group["capturable"] = value
    return graph.replay, {name: loss.detach() for name, loss in losses.items()}
