"""`dsa-train check-export`: an exported network compared with PyTorch's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsa_app import console

from . import options

if TYPE_CHECKING:
    from dsa_reid.model import Model


@click.command("check-export")
@click.argument("exported", type=options.FILE)
@click.argument("images", type=options.FILE, nargs=-1)
@options.model
@options.model_dataset
@options.model_experiment
def check_export(
    exported: Path, images: Sequence[Path], model: Path | None, dataset: str | None, experiment: str
) -> None:
    """Compare an EXPORTED network with PyTorch's.

    They are compared on random images, and on IMAGES: your image files, or folders of them. A network with the resize
    inside gets each image at its own size.
    """
    path = options.existing_model(model, dataset, experiment)

    from dsa_reid.model import load

    from ..gallery.sources import image_files

    files = [file for path in images for file in (image_files(path) if path.is_dir() else [path])]
    compare(exported, load(path), files)


def compare(exported: Path, network: Model, files: Sequence[Path]) -> None:
    """Print how far the features of an exported network are from PyTorch's; exit with 2 if it is too far."""
    from dsa_reid import exports

    checked = exports.check(network, exported, files)
    line = (
        f"{exported}: within {checked.difference:.1e} of PyTorch on {checked.images} images, {len(files)} of them yours"
    )
    if not checked.passed:
        console.fail(f"{line}; {exports.TOLERANCE:.0e} is allowed. Export again, or try another onnxruntime.")
    click.echo(line)
