"""What is left after training: `dsa-train embed`, `search`, `export` and `check-export`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dsa_app import console
from dsa_app.errors import ConfigError
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_data.sets import dataset_root
from dsa_reid.exports import TOLERANCE, Where, check
from dsa_reid.exports import export as export_model
from dsa_reid.model import Model, digest_of, load
from dsa_reid.nearest import Ranking

from ..device import choose_device, memory_explained
from ..gallery import embed as embedding
from ..gallery import page as answers
from ..gallery import search as searching
from ..gallery.feature_files import FeatureFile, open_features

FILE = click.Path(path_type=Path)
DEVICE = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
MODEL = click.option("--model", "model_path", type=FILE, help="[artifacts/<dataset>/runs/<experiment>/model.pt]")
EXPERIMENT = click.option("--experiment", default="paper", show_default=True, help="Whose model.")


@click.command()
@click.argument("folder", type=FILE, required=False)
@click.option("--dataset", help="Embed a dataset's pictures instead of a folder's.")
@click.option("--split", multiple=True, help="Of the dataset; may be repeated. [gallery]")
@MODEL
@EXPERIMENT
@click.option("--out", type=FILE, help=".h5, or .npy with a .csv of keys. [artifacts/<dataset>/features.h5]")
@click.option("--type", "dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Pictures at once.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1), help="Threads that read.")
@click.option("--skip-broken", is_flag=True, help="Leave out and list what cannot be read, instead of stopping.")
@click.option("--overwrite", is_flag=True, help="Replace features of other pictures or another model.")
@DEVICE
def embed(
    folder: Path | None,
    dataset: str | None,
    split: Sequence[str],
    model_path: Path | None,
    experiment: str,
    out: Path | None,
    dtype: str,
    batch: int,
    workers: int,
    skip_broken: bool,
    overwrite: bool,
    device: str,
) -> None:
    """Write the features of a FOLDER's pictures, or of a dataset's; the same command again goes on."""
    if (folder is None) == (dataset is None):
        raise ConfigError("Say what to embed: a folder, or --dataset NAME.")
    if dataset:
        records = read_manifest(console.artifacts(dataset) / "manifest.csv", list(split) or ["gallery"])
        sources = embedding.in_dataset(dataset_root(dataset), records)
    else:
        assert folder is not None, "checked above"
        if out is None or split:
            raise ConfigError("A folder has no splits, and its features need a place: say --out FILE, no --split.")
        sources = embedding.in_folder(folder, workers)
    model = load(_model_path(model_path, dataset, experiment), choose_device(device))
    out = out or console.artifacts(str(dataset)) / "features.h5"
    if out.suffix not in (".h5", ".hdf5", ".npy"):
        raise ConfigError(f"--out {out}: expected a name in .h5 or .npy.")
    with memory_explained(f"{batch} pictures at once", "Take fewer: --batch 8."):
        done = embedding.embed(sources, model, out, dataset or "", dtype, batch, workers, skip_broken, overwrite)
    for key, reason in done.skipped[:5]:
        click.echo(f"skipped {key}: {reason}", err=True)
    if done.skipped:
        listed = embedding.skipped_file(out)
        click.echo(f"{len(done.skipped)} of {len(sources)} pictures were skipped, all listed in {listed}", err=True)
    click.echo(f"{done.path}: {done.count} x {model.dimensions}, {dtype}, of the model {model.digest[:12]}")


@click.command()
@click.option("--query", "queries", type=FILE, multiple=True, required=True, help="A picture; may be repeated.")
@click.option("--gallery", type=FILE, required=True, help="What `dsa-train embed` wrote.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1), help="How many to find.")
@MODEL
@EXPERIMENT
@click.option("--engine", type=click.Choice(searching.ENGINES), default="numpy", show_default=True)
@click.option("--index", type=FILE, help="The FAISS index. [<gallery>.<engine>.faiss]")
@click.option("--explain", is_flag=True, help="Show which body regions agreed.")
@click.option("--pictures", type=FILE, help="The folder of the gallery's pictures. [the dataset's]")
@click.option("--out", type=FILE, help="The ranking as a PNG. [ranking.png, if the pictures are found]")
@click.option("--overwrite", is_flag=True, help="Build the index anew if it is of other features.")
@DEVICE
def search(
    queries: Sequence[Path],
    gallery: Path,
    top: int,
    model_path: Path | None,
    experiment: str,
    engine: searching.Engine,
    index: Path | None,
    explain: bool,
    pictures: Path | None,
    out: Path | None,
    overwrite: bool,
    device: str,
) -> None:
    """Find the gallery's nearest pictures for each query: a table, and a page to look at."""
    features = open_features(gallery)
    dataset = features.header.dataset
    path = _model_path(model_path, dataset, experiment)
    model = load(path, choose_device(device))
    searching.check_same_model(features, model, path)
    shown = [images.read(query) for query in queries]
    found = model.embed(shown).numpy()
    ranked = searching.rank(found, features, top, engine, index, overwrite)
    explained = searching.explain_found(found, ranked.places, features) if explain else [None] * len(queries)
    pids = _identities(dataset)
    found_for = [
        answers.Answer(str(query), _hits(query, features, ranked, n, pids), explained[n])
        for n, query in enumerate(queries)
    ]
    click.echo(answers.table(found_for))
    root = pictures or (dataset_root(dataset) if dataset else None)
    if root is None and out:
        raise ConfigError("The gallery is of a folder: say which, with --pictures DIR, to draw the ranking.")
    if root is not None:
        hits = [[images.read(root / hit.key) for hit in answer.hits] for answer in found_for]
        click.echo(images.write_png(out or Path("ranking.png"), answers.page(found_for, shown, hits)))


@click.command()
@click.argument("out", type=FILE)
@MODEL
@click.option("--dataset", help="Whose model, if --model is not given.")
@EXPERIMENT
@click.option(
    "--normalise",
    type=click.Choice(["inside", "outside"]),
    default="inside",
    show_default=True,
    help="Whether the network takes bytes and normalises them, or takes normalised floats. Stated in the file.",
)
def export(out: Path, model_path: Path | None, dataset: str | None, experiment: str, normalise: Where) -> None:
    """Write the network to OUT for other programs: .onnx, or .pt2 for torch.export."""
    model = load(_model_path(model_path, dataset, experiment))
    path = export_model(model, out, normalise)
    _tell_check(path, model, [])


@click.command("check-export")
@click.argument("exported", type=FILE)
@click.argument("pictures", type=FILE, nargs=-1)
@MODEL
@click.option("--dataset", help="Whose model, if --model is not given.")
@EXPERIMENT
def check_export(
    exported: Path, pictures: Sequence[Path], model_path: Path | None, dataset: str | None, experiment: str
) -> None:
    """Compare an EXPORTED network with PyTorch's, on random pictures and on your PICTURES, or folders of them."""
    model = load(_model_path(model_path, dataset, experiment))
    files = [file for path in pictures for file in (_pictures_in(path) if path.is_dir() else [path])]
    _tell_check(exported, model, files)


COMMANDS = (embed, search, export, check_export)


def _tell_check(path: Path, model: Model, files: Sequence[Path]) -> None:
    found = check(model, path, map(images.read, files))
    line = f"{path}: within {found.difference:.1e} of PyTorch on {found.pictures} pictures, {len(files)} of them yours"
    if not found.passed:
        console.fail(f"{line}; {TOLERANCE:.0e} is allowed. Export again, or try another onnxruntime.")
    click.echo(line)


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if images.is_image(path))


def _model_path(path: Path | None, dataset: str | None, experiment: str) -> Path:
    if path is None and not dataset:
        raise ConfigError("No model was named. Say --model FILE.")
    return path or console.artifacts(str(dataset)) / "runs" / experiment / "model.pt"


def _identities(dataset: str) -> dict[str, int]:
    """Return who is in which picture, by the digest of its bytes, as far as a manifest tells."""
    manifest = console.artifacts(dataset) / "manifest.csv"
    if not dataset or not manifest.exists():
        return {}
    return {record.digest: record.pid for record in read_manifest(manifest)}


def _hits(query: Path, gallery: FeatureFile, ranked: Ranking, n: int, pids: dict[str, int]) -> list[answers.Hit]:
    """Return what was found for query `n`, right or wrong where both identities are known."""
    pid = pids.get(digest_of(query))
    hits = []
    for place, distance in zip(ranked.places[n].tolist(), ranked.distances[n].tolist(), strict=True):
        if place >= 0:
            other = pids.get(gallery.digests[place])
            right = None if pid is None or other is None else pid == other
            hits.append(answers.Hit(gallery.keys[place], distance, right))
    return hits
