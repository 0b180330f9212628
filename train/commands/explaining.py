"""What a trained network looks at: `dsa-train explain`, alone or against another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import click
import numpy as np
import torch
from numpy.typing import NDArray

from dsa_app import console
from dsa_app.config import Settings, suggestion
from dsa_app.console import progress
from dsa_app.errors import ConfigError, DatasetError
from dsa_data.images import decode, write_png
from dsa_data.records import Record, read_listed, read_manifest
from dsa_data.sets import dataset_root
from dsa_reid.model import Model, load

from ..device import choose_device
from ..explain import heat_maps
from ..explain import regions as reactions
from ..explain.body_maps import BACKGROUND, BodyMaps, body_maps
from ..explain.occlusion import Network, apart, feature_names, feature_shares, occlusion, split
from .options import run_folder

FILE = click.Path(path_type=Path)
Method = Literal["occlusion", "shares"]
Picture = NDArray[np.uint8]
DRAWN, MEASURED = 3, 200  # queries, where no KEY is given
COMPARED = 64  # pictures that tell how far two people are apart
LEGENDS: dict[Method, str] = {
    "occlusion": "Occlusion: how far the feature turns (1 - cos) when the place is covered by the mean colour; the "
    "number as a part\nof how far the features of two people are apart on average.",
    "shares": "Shares: the part of the feature's squared length that comes from the place.",
}


@click.command()
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@console.with_settings()
@click.option(
    "--run", "source", type=FILE, help="A run's folder, or a model.pt. [artifacts/<dataset>/runs/<experiment>]"
)
@click.option("--against", type=FILE, help="Another one, to be compared with it.")
@click.option("--regions", is_flag=True, help="Measure instead which body region moves which feature.")
@click.option(
    "--method",
    type=click.Choice(["occlusion", "shares"]),
    default="occlusion",
    show_default=True,
    help="What of a place is drawn: how the feature changes without it, or its share of the feature's length.",
)
@click.option("--window", type=click.IntRange(1), help="Side of what is occluded, in pixels. [a quarter of the width]")
@click.option("--stride", type=click.IntRange(1), help="From one window to the next. [a quarter of the window]")
@click.option(
    "--count", type=click.IntRange(1), help=f"Queries, if there is no KEY. [{DRAWN}; of --regions {MEASURED}]"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Draws them.")
@click.option("--manifest", type=FILE, help="The manifest. [artifacts/<dataset>/manifest.csv]")
@click.option("--iuv", type=FILE, help="I, U, V maps. [the renderer's truth, else artifacts/<dataset>/iuv.h5]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--out", type=FILE, help="The PNG. [artifacts/<dataset>/explain.png]")
@click.option("--json", "as_json", is_flag=True, help="Of --regions: print JSON alone.")
def explain(
    keys: tuple[str, ...],
    settings: Settings,
    source: Path | None,
    against: Path | None,
    regions: bool,
    method: Method,
    window: int | None,
    stride: int | None,
    count: int | None,
    seed: int,
    manifest: Path | None,
    iuv: Path | None,
    device: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Draw where each feature of the main stream looks, in pictures by KEY as in the manifest, or in some queries.

    With --regions: how much each feature changes when a body region is taken out of the pictures.
    """
    if as_json and not regions:
        raise ConfigError("--json prints the table of --regions: say that too, or leave it out.")
    made, root = console.artifacts(settings.dataset), dataset_root(settings.dataset)
    models = _load([source or run_folder(settings), *([against] if against else [])], choose_device(device))
    listed = read_manifest(manifest or made / "manifest.csv")
    records = _chosen(listed, keys, count or (MEASURED if regions else DRAWN), seed)
    compared = _compared(listed, {record.split for record in records}, seed)
    worth = {name: _apart(model, compared, root) for name, model in models.items()}
    maps = body_maps(root, iuv, made / "iuv.h5")
    if not regions:
        page = draw(models, worth, records, root, maps, method, window, stride)
        click.echo(write_png(out or made / "explain.png", page))
        return
    if maps is None:
        raise DatasetError(
            f"{made / 'iuv.h5'} does not exist, which tells the regions. Make it: densepose-extract run."
        )
    found = measure(models, worth, records, root, maps)
    if as_json:
        networks = {name: one.plain() for name, one in found.items()}
        click.echo(json.dumps({"dataset": settings.dataset, "regions_by": maps.whose, "networks": networks}))
    else:
        click.echo(f"{reactions.text(found)}\nRegions by {maps.whose}.")


COMMANDS = (explain,)


def draw(
    models: Mapping[str, Model],
    worth: Mapping[str, NDArray[np.float64]],
    records: Sequence[Record],
    root: Path,
    maps: BodyMaps | None,
    method: Method,
    window: int | None = None,
    stride: int | None = None,
) -> Picture:
    """Draw a row for each picture and network: uint8 (H, W, 3), RGB.

    Args:
        worth: of each network, how far two people are apart in each of its F features.
        maps: of the body regions, which are outlined.
        window, stride: of the occlusion, in pixels of what the network sees.
    """
    rows = []
    pairs = [(record, name) for record in records for name in models]
    for record, name in progress(pairs, len(pairs), "Looking"):
        model, picture = models[name], _read(root, record)
        image = model.preprocessing.normalise(model.preprocessing.resize(torch.from_numpy(picture))[None])
        if method == "shares":
            found = feature_shares(model.main_stream, image.to(model.device))[0].cpu().numpy()
        else:
            side = window or max(1, model.preprocessing.width // 4)
            found = occlusion(_network(model), image[0], side, stride or max(1, side // 4)).numpy()
            found /= worth[name][:, None, None]
        regions = maps.regions(record) if maps else {}
        features = feature_names(model.main_stream.config.heads)
        title = f"{name}:  {record.key}"
        rows.append(
            heat_maps.Row(title, name == next(iter(models)), picture, dict(zip(features, found, strict=True)), regions)
        )
    outlined = f"\nWhite line: the body region that guides the feature, by {maps.whose}." if maps else ""
    return heat_maps.page(rows, LEGENDS[method] + outlined, "{:.0%}")


def measure(
    models: Mapping[str, Model],
    worth: Mapping[str, NDArray[np.float64]],
    records: Sequence[Record],
    root: Path,
    maps: BodyMaps,
) -> dict[str, reactions.Reactions]:
    """Return the table of each network over those pictures in which a body is seen. Raises DatasetError for none."""
    changes: dict[str, list[NDArray[np.float64]]] = {name: [] for name in models}
    sizes = []
    for record in progress(records, len(records), "Taking regions out"):
        regions = maps.regions(record)
        if regions[BACKGROUND].all():
            continue
        picture, masks = _read(root, record), np.stack(list(regions.values()))
        sizes.append(masks.mean((1, 2)))
        for name, model in models.items():
            changes[name].append(reactions.reactions_of(_network(model), picture, masks, model.preprocessing).numpy())
    if not sizes:
        raise DatasetError(
            f"No body is seen in {len(records)} pictures, by {maps.whose}. Name others, or more: --count."
        )
    return {
        name: reactions.table(
            feature_names(model.main_stream.config.heads), np.stack(changes[name]), np.stack(sizes), worth[name]
        )
        for name, model in models.items()
    }


def _network(model: Model) -> Network:
    return lambda images: model.main_stream(images.to(model.device))


@torch.inference_mode()
def _apart(model: Model, records: Sequence[Record], root: Path) -> NDArray[np.float64]:
    """Return how far pictures of two people are apart in each feature, (F,)."""
    pictures = [model.preprocessing.resize(torch.from_numpy(_read(root, record))) for record in records]
    features = split(_network(model)(model.preprocessing.normalise(torch.stack(pictures))))
    return np.asarray(apart(features, [record.pid for record in records]).numpy())


def _read(root: Path, record: Record) -> Picture:
    return np.asarray(decode(read_listed(root, record.key, record.digest), root / record.key))


def _load(paths: Sequence[Path], device: torch.device) -> dict[str, Model]:
    """Read models by their runs' names, or by their paths where two runs have one name."""
    names = [(path if path.is_dir() else path.parent).name for path in paths]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return {
        name: load(path / "model.pt" if path.is_dir() else path, device)
        for name, path in zip(names, paths, strict=True)
    }


def _chosen(listed: Sequence[Record], keys: Sequence[str], count: int, seed: int) -> list[Record]:
    """Return the pictures with these keys, or queries drawn at random. Raises DatasetError for what is not there."""
    if keys:
        known = {record.key: record for record in listed}
        for key in keys:
            if key not in known:
                near = suggestion(key, known) if len(known) < 9999 else ""
                raise DatasetError(f"The manifest lists no picture {key!r}.{near}")
        return [known[key] for key in keys]
    queries = [record for record in listed if record.split == "query"]
    if not queries:
        raise DatasetError("The manifest lists no query to draw. Name pictures by their KEY.")
    return _some(queries, count, seed)


def _compared(listed: Sequence[Record], splits: set[str], seed: int) -> list[Record]:
    """Return pictures of some splits that tell how far people are apart. Raises DatasetError for fewer than two."""
    people = [record for record in listed if record.split in splits and record.pid > 0]
    some = _some(people, COMPARED, seed)
    if len({record.pid for record in some}) < 2:
        raise DatasetError(
            f"The manifest's {' and '.join(sorted(splits))} pictures show fewer than two people to be compared."
        )
    return some


def _some(records: Sequence[Record], count: int, seed: int) -> list[Record]:
    places = np.random.default_rng(seed).choice(len(records), min(count, len(records)), replace=False)
    return [records[place] for place in sorted(places.tolist())]
