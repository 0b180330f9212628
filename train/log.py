"""The log of a run: DVCLive's files, TensorBoard's if asked for, and progress lines on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import torch

from dsa_app import console
from dsa_app.errors import TrainingError
from dsa_app.rate import Pace, Rate
from dsa_app.wording import duration
from dsa_reid.extras import install_command

CHECK = 10  # steps between checks of the losses: each check waits for the GPU


class EpochLosses:
    """The loss terms of every step of an epoch, by name, checked for values that are not finite.

    Args:
        steps: float32 (steps, terms) of an epoch that is resumed.
        mean: over the processes of the run; each has the terms of its own share of a batch.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        steps: torch.Tensor | None = None,
        mean: Callable[[torch.Tensor], torch.Tensor] = lambda terms: terms,
    ) -> None:
        self.names, self._mean = list(names), mean
        self._checked = [] if steps is None else list(steps)
        self._unchecked: list[torch.Tensor] = []

    def add(self, terms: Mapping[str, torch.Tensor]) -> None:
        """Add one step's terms, and check them every few steps. Raises TrainingError."""
        self.names = list(terms)
        self._unchecked.append(torch.stack([term.detach().float() for term in terms.values()]))
        if len(self._unchecked) == CHECK:
            self.check()

    def check(self) -> None:
        """Check the steps since the last check. Raises TrainingError that names the first step and term not finite."""
        if not self._unchecked:
            return
        new = self._mean(torch.stack(self._unchecked).cpu())  # (steps, terms)
        broken = (~new.isfinite()).nonzero().tolist()
        if broken:
            (row, column), *_ = broken
            raise TrainingError(
                f"The loss is not finite: step {len(self._checked) + row + 1} of the epoch, term "
                f"{self.names[column]} is {new[row, column].item()}. Lower train.schedule.lr, use a longer warm-up "
                "(train.schedule.warmup), or train in float32 (train.precision=float32)."
            )
        self._checked += list(new)
        self._unchecked.clear()

    @property
    def steps(self) -> torch.Tensor:
        """All terms so far, float32 (steps, terms)."""
        self.check()
        return torch.stack(self._checked) if self._checked else torch.zeros(0, len(self.names))

    def means(self) -> dict[str, float]:
        """Return each term's mean over the epoch, and the mean of their sum as "loss"."""
        means = self.steps.double().mean(0)
        return {"loss": float(means.sum()), **dict(zip(self.names, means.tolist(), strict=True))}

    def __str__(self) -> str:
        """Return the losses of the last step checked, by kind: "loss 12.345 (id 10.111, triplet 2.234)"; else ""."""
        if not self._checked:
            return ""
        kinds: dict[str, float] = {}
        for name, value in zip(self.names, self._checked[-1].tolist(), strict=True):
            kind = name.split("_")[0]
            kinds[kind] = kinds.get(kind, 0) + value
        parts = ", ".join(f"{kind} {value:.3f}" for kind, value in kinds.items())
        return f"loss {sum(kinds.values()):.3f} ({parts})"


class Log:
    """A run's numbers by epoch, in DVCLive's files under `folder` and, if asked for, TensorBoard's.

    Args:
        history: the rows of the epochs that are done. The files are written anew from them, so that they have the same
            epochs as the checkpoint, whenever a run was killed.
    """

    def __init__(self, folder: Path, history: Sequence[Mapping[str, float]], tensorboard: bool = False) -> None:
        from dvclive import Live  # slow to import, and only training needs it

        self._live = Live(str(folder), save_dvc_exp=False, dvcyaml=False)
        self._board = _board(folder / "tensorboard") if tensorboard else None
        for row in history:
            self.write(row)

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.end()
        if self._board:
            self._board.close()

    def write(self, row: Mapping[str, float]) -> None:
        """Log one epoch: the values by name, and "epoch", how many are done."""
        epoch = int(row["epoch"])
        self._live.step = epoch
        for name, value in row.items():
            if name == "epoch":
                continue
            self._live.log_metric(name, value)
            if self._board:
                self._board.add_scalar(name, value, epoch)
        self._live.next_step()


def _board(folder: Path):  # type: ignore[no-untyped-def]  # SummaryWriter, where it is installed
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise TrainingError(
            "TensorBoard is not installed. Set train.tensorboard=false (DVCLive's logs are always written), or install "
            f"it: {install_command('tensorboard')}"
        ) from None
    for old in folder.glob("events.*"):
        old.unlink()
    return SummaryWriter(str(folder))


class Progress:
    """Progress lines: losses, images a second, time left, both at the rate of the last half minute.

    Losses are those of the last step that was checked, and the line says if that was in the epoch before; until there
    is one, a line has none.

    Args:
        done, total: steps of the whole run that are done, and in all.
        images: in a step.
        quiet: print nothing; another process does.
    """

    def __init__(self, done: int, total: int, images: int, quiet: bool = False) -> None:
        self.total, self.images, self.done, self.quiet = total, images, done, quiet
        self._pace, self._rate, self._loss = Pace(), Rate(), ""

    def step(self, where: str, losses: EpochLosses) -> None:
        """Count a step; print a line if one is due."""
        self.done += 1
        self._rate.report(self.done)
        self._loss = str(losses) or self._loss
        if self._pace.is_due():
            # at the start of an epoch no step of its own is checked yet
            self.report(where, self._loss if str(losses) or not self._loss else f"{self._loss} in the epoch before")

    def report(self, where: str, loss: str) -> None:
        """Print a line."""
        if self.quiet:
            return
        self._pace.printed()
        parts = [loss] if loss else []
        if rate := self._rate.per_second:
            parts += [f"{rate * self.images:.0f} images a second", f"{duration((self.total - self.done) / rate)} left"]
        console.status(f"{where}: {', '.join(parts)}" if parts else where)
