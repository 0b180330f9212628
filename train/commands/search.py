"""`dsa-train search`: the nearest images of a gallery."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from dsa_app import console
from dsa_app.errors import ConfigError
from dsa_app.row_files import check_rows_file, write_rows

from ..gallery.config import Engine
from . import options

if TYPE_CHECKING:
    import numpy as np

    from ..gallery.hits import QueryResult


@click.command()
@click.option("--query", "queries", type=options.FILE, multiple=True, required=True, help="An image; may be repeated.")
@click.option("--gallery", type=options.FILE, required=True, help="Features, as `dsa-train embed` writes them.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="Hits per query.")
@options.model
@options.model_experiment
@click.option(
    "--engine",
    type=click.Choice(get_args(Engine)),
    default="numpy",
    show_default=True,
    help="NumPy, or an index of FAISS: exact (flat) or approximate (ivf, hnsw).",
)
@click.option("--index", type=options.FILE, help="The FAISS index. [<gallery>.<engine>.faiss]")
@click.option("--explain", is_flag=True, help="Show how far each body region agrees.")
@click.option(
    "--min-probability", type=click.FloatRange(0, 1), help="Answer 'nobody here' below it. Calibrated models."
)
@click.option(
    "--min-seen", type=click.FloatRange(0, 1), default=0.0, help="Share of the body that both images have to show."
)
@click.option("--rankings", type=console.OUTPUT, help="Write a row a hit: .csv, .json or .parquet.")
@options.json_alone
@click.option("--pictures", type=options.FILE, help="The folder of the gallery's images. [the dataset's]")
@click.option("--out", type=console.OUTPUT, help="The ranking as a PNG. [ranking.png, if the images are known]")
@click.option("--overwrite", is_flag=True, help="Build the index again if it is of other features.")
@options.device
def search(
    queries: Sequence[Path],
    gallery: Path,
    top: int,
    model: Path | None,
    experiment: str,
    engine: Engine,
    index: Path | None,
    explain: bool,
    min_probability: float | None,
    min_seen: float,
    rankings: Path | None,
    as_json: bool,
    pictures: Path | None,
    out: Path | None,
    overwrite: bool,
    device: str,
) -> None:
    """Find the nearest gallery images for query images.

    Prints a table of the hits, and renders them as a page if the folder of the gallery's images is known.
    """
    if rankings:
        check_rows_file(rankings, "--rankings")

    from ..gallery.feature_files import open_features

    features = open_features(gallery)
    dataset = features.header.dataset
    path = options.existing_model(model, dataset, experiment)

    if pictures and not pictures.is_dir():
        raise ConfigError(f"{pictures} is not a folder. Name the folder of the gallery's images: --pictures DIR.")
    if out and not pictures and not dataset:
        raise ConfigError("--out renders the hits, and the gallery is of a folder: name that with --pictures DIR.")

    from dsa_data.images import write_png
    from dsa_reid.model import load

    from ..gallery import page
    from ..gallery.hits import hit_rows
    from ..gallery.search import read_identities, search_images
    from ..torch_setup import choose_device

    pids = read_identities(console.artifacts(dataset) / "manifest.csv") if dataset else {}
    network = load(path, choose_device(device))
    results = search_images(
        queries, features, network, path, top, engine, index, explain, overwrite, pids, min_probability, min_seen
    )
    rendered = _page(results, pictures, dataset, required=bool(pictures or out))
    rows = hit_rows(results)
    if (
        (unproved := sum(not result.proved for result in results))
        and engine == "flat"
        and "visibility" in features.origin.parts
    ):
        click.echo(
            f"note: of {len(results)} queries {unproved} may have nearer images than those that the index gave. "
            "--engine numpy compares all.",
            err=True,
        )
    click.echo(json.dumps(rows) if as_json else page.table(results))
    if rankings:
        click.echo(write_rows(rankings, rows), err=as_json)
    if rendered is not None:
        click.echo(write_png(out or Path("ranking.png"), rendered), err=as_json)


def _page(results: Sequence[QueryResult], pictures: Path | None, dataset: str, required: bool) -> np.ndarray | None:
    """Return the page of the hits; None, after a note, where the gallery's images are not there and none was asked for.

    Args:
        pictures: the folder of the gallery's images; that of `dataset` if None.
        required: whether the user asked for the page, so that images which are missing are an error.
    """
    from dsa_app.errors import DatasetError, ImageError
    from dsa_data.sets import dataset_root

    from ..gallery import page

    if not pictures and not dataset:
        return None
    try:
        return page.page(results, pictures or dataset_root(dataset))
    except (DatasetError, ImageError) as error:
        if required:
            raise
        click.echo(f"note: the hits are not rendered. {error} Name the folder of the images: --pictures DIR.", err=True)
        return None
