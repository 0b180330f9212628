"""`dsa-train embed`: the features of images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dsa_app import console
from dsa_app.errors import ConfigError

from . import options


@click.command(cls=console.Resumable)
@click.argument("folder", type=options.FILE, required=False)
@click.option("--dataset", shell_complete=console.datasets, help="Embed the images of a dataset instead of a folder's.")
@click.option("--split", multiple=True, help="Of the dataset; may be repeated. [gallery]")
@options.model
@options.model_experiment
@click.option("--out", type=console.OUTPUT, help=".h5, or .npy with a .csv of keys. [artifacts/<dataset>/features.h5]")
@click.option(
    "--type",
    "dtype",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Numbers of the file; float16 takes half the space.",
)
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Images at once.")
@console.jobs("Threads that read images; -1 for every core.", default=2)
@click.option("--skip-broken", is_flag=True, help="Leave out and list unreadable images instead of stopping.")
@click.option("--visibility", is_flag=True, help="Append the regions' visibilities: searches compare what both show.")
@click.option("--overwrite", is_flag=True, help="Replace features of other images or of another model.")
@options.device
def embed(
    folder: Path | None,
    dataset: str | None,
    split: Sequence[str],
    model: Path | None,
    experiment: str,
    out: Path | None,
    dtype: str,
    batch: int,
    jobs: int,
    skip_broken: bool,
    visibility: bool,
    overwrite: bool,
    device: str,
) -> None:
    """Write the features of a FOLDER's or a dataset's images.

    The same command resumes after an interruption.
    """
    if (folder is None) == (dataset is None):
        raise ConfigError("Name the images to embed: a folder, or --dataset NAME.")
    if folder and (out is None or split):
        raise ConfigError("The features of a folder need --out FILE; --split is for datasets only.")

    import joblib

    from dsa_data.sets import dataset_root

    from ..gallery.feature_files import check_name
    from ..gallery.sources import in_dataset, in_folder

    threads = joblib.effective_n_jobs(jobs)
    artifacts = console.artifacts(dataset or "")
    out = out or artifacts / "features.h5"
    check_name(out)
    if dataset:
        images = in_dataset(artifacts / "manifest.csv", dataset_root(dataset), list(split) or ["gallery"])
    else:
        assert folder is not None, "one of the two is named"
        images = in_folder(folder, threads)
    path = options.existing_model(model, dataset, experiment)

    from dsa_reid.model import load

    from ..gallery import embed as embedding
    from ..torch_setup import choose_device, memory_explained

    network = load(path, choose_device(device))
    with memory_explained(f"{batch} images at once", "Use a smaller batch: --batch 8."):
        written = embedding.embed(
            images, network, out, dataset or "", dtype, batch, threads, skip_broken, overwrite, visibility
        )
    for key, reason in written.skipped[:5]:
        click.echo(f"skipped {key}: {reason}", err=True)
    if written.skipped:
        listed = embedding.skipped_file(out)
        click.echo(f"{len(written.skipped)} of {len(images)} images were skipped, all listed in {listed}", err=True)
    width = sum((network.parts_with_visibility if visibility else network.parts).values())
    click.echo(f"{written.path}: {written.count} x {width}, {dtype}, of the model {network.digest[:12]}")
