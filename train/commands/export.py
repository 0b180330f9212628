"""`dsa-train export`: the network for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsa_app import console
from dsa_app.errors import ConfigError

from . import options
from .check_export import compare

if TYPE_CHECKING:
    from dsa_reid.exports import Where


@click.command()
@click.argument("out", type=console.OUTPUT)
@options.model
@options.model_dataset
@options.model_experiment
@click.option(
    "--normalise",
    type=click.Choice(["inside", "outside"]),
    default="inside",
    show_default=True,
    help="Whether the network takes bytes and normalises them, or takes normalised floats. The file notes it.",
)
@click.option(
    "--resize",
    type=click.Choice(["inside", "outside"]),
    help="Whether the network takes images of any size and resizes them as embed does. The file notes it. "
    "[inside, unless --normalise outside]",
)
@click.option("--visibility", is_flag=True, help="A second output, the visibilities of the eight regions.")
def export(
    out: Path,
    model: Path | None,
    dataset: str | None,
    experiment: str,
    normalise: Where,
    resize: Where | None,
    visibility: bool,
) -> None:
    """Write the network to OUT: .onnx, or .pt2 (torch.export).

    The file is then compared with PyTorch, as check-export does.
    """
    if out.suffix not in (".onnx", ".pt2"):
        raise ConfigError(f"{out}: expected a name that ends in .onnx (ONNX) or .pt2 (torch.export).")
    path = options.existing_model(model, dataset, experiment)

    from dsa_reid import exports
    from dsa_reid.model import load

    network = load(path)
    compare(exports.export(network, out, normalise, resize, visibility), network, [])
