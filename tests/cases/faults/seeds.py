"""Whole files of every kind, made by the commands themselves, for the readers to be given damaged copies of."""

from __future__ import annotations

from pathlib import Path

from .readers import Reader, readers
from .run import Run
from .stages import BY_NAME, Project
from .warm import Warm

FURTHER = ("embed as arrays", "index", "evaluate", "ablation", "export program", "export ONNX")


def seeded(folder: Path, further: tuple[str, ...] = FURTHER) -> list[Reader]:
    """Return all readers with their seeds, which are made below `folder` if they are not there.

    Args:
        further: stages that are carried out in the project, for the files that they write.
    """
    template = folder / "project"
    done = folder / "done"
    if not done.exists():
        with Warm() as warm:
            project = Project(folder, warm).make()
            for name in further:
                run = Run(project.command(BY_NAME[name]), template, folder / "logs" / f"seed {name}")
                (ended,) = warm(run)
                assert ended.code == 0, run.errors()
        done.touch()
    return readers(template)
