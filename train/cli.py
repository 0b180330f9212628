"""`dsa-train`: train a network, evaluate it, explain it, and deploy it."""

from __future__ import annotations

from typing import Any

import click

from dsa_app import console
from dsa_app.assignments import message
from dsa_reid.errors import ModelError, SettingError

from .commands.ablation import ablation
from .commands.ablation_table import ablation_table
from .commands.browse import browse
from .commands.calibrate import calibrate
from .commands.ceiling import ceiling
from .commands.check_export import check_export
from .commands.compare import compare
from .commands.embed import embed
from .commands.evaluate import evaluate
from .commands.experiments import experiments
from .commands.explain import explain
from .commands.export import export
from .commands.probe import probe
from .commands.rank import rank
from .commands.report import report
from .commands.run import run
from .commands.search import search
from .commands.show_batch import show_batch
from .commands.summary import summary
from .config import whole_names

TRAINING = (run, calibrate, show_batch, summary)
EVALUATION = (evaluate, compare, rank, report, ceiling, explain)
DEPLOYMENT = (embed, search, browse, export, check_export)
ABLATION = (probe, experiments, ablation, ablation_table)


class Commands(console.Commands):
    """Commands that also print the errors of `dsa_reid` in one line."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SettingError as error:
            console.fail(message(error, whole_names(error.changes)))
        except ModelError as error:
            console.fail(str(error))


@click.group("dsa-train", cls=Commands)
def main() -> None:
    """Train the two-stream network, evaluate it, explain it, and deploy its main stream."""


for command in (*TRAINING, *EVALUATION, *DEPLOYMENT, *ABLATION):
    main.add_command(command)
