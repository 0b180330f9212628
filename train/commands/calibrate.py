"""`dsa-train calibrate`: what the distances of a finished model mean, without training it again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from dsa_app import console
from dsa_app.errors import TrainingError

from . import options


@click.command()
@click.argument("run", type=options.FILE)
@click.option("--dataset", required=True, shell_complete=console.datasets, help="Whose people it is calibrated on.")
@click.option("--split", multiple=True, help="Of the dataset; may be repeated. [train]")
@click.option("--manifest", type=options.FILE, help="The manifest. [artifacts/<dataset>/manifest.csv]")
@click.option("--out", type=console.OUTPUT, help="The calibrated model. [the model of RUN, replaced]")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Images at once.")
@options.json_alone
@options.device
def calibrate(
    run: Path,
    dataset: str,
    split: Sequence[str],
    manifest: Path | None,
    out: Path | None,
    batch: int,
    as_json: bool,
    device: str,
) -> None:
    """Calibrate a finished model without training again.

    RUN is a run's folder or a model.pt. Its distances then give probabilities. The people must be others than those of
    its training: of another dataset, or the ones that its training held out (train.calibrate). Query and gallery of its
    own dataset are refused.
    """
    from dsa_data.sets import dataset_root

    artifacts = console.artifacts(dataset)
    root = dataset_root(dataset)
    listed = options.existing(
        manifest or artifacts / "manifest.csv", f"List the images first: dsa-data prepare --dataset {dataset}."
    )
    if not run.exists():
        raise TrainingError(f"{run} does not exist. Name the folder of a finished run, or its model.pt.")

    from .. import calibration_stage as stage
    from ..evaluation.config import EvaluateConfig
    from ..torch_setup import choose_device

    path = stage.model_of(run)
    people = stage.choose_people(run, listed, artifacts / "runs", dataset, list(dict.fromkeys(split)) or ["train"])
    if people.note:
        click.echo(people.note, err=True)
    done = stage.calibrate_model(run, people, root, out or path, EvaluateConfig(batch=batch), choose_device(device))
    if done.calibrations.note:
        click.echo(done.calibrations.note, err=True)
    _print(done, as_json)


def _print(done: Any, as_json: bool) -> None:
    """Print what was written, and how probable it is at which distance."""
    whole, visible = done.calibrations.whole, done.calibrations.visible
    if as_json:
        found = {"model": str(done.path), "calibration": whole.written()}
        click.echo(json.dumps(found | ({"visible_calibration": visible.written()} if visible else {})))
        return
    among = f", searched for among {done.images} images" if done.images > whole.images else ""
    kinds = "whole features and of what both images show" if visible else "whole features"
    click.echo(
        f"{done.path}: calibrated on {whole.people} people in {whole.images} images{among}; distances of {kinds}"
    )
    if whole.present is None:
        click.echo("P(in the gallery) stays at 1/2: searches do not tell whether these people are in a gallery.")
