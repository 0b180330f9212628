"""`dsa-train browse`: a local page that searches a gallery with an image."""

from __future__ import annotations

import importlib.util
import secrets
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsa_app import console
from dsa_app.config import Settings
from dsa_app.errors import ConfigError
from dsa_reid.extras import install_command

from . import options

if TYPE_CHECKING:
    from ..browse.gallery import Gallery

LOOPBACK = ("127.0.0.1", "localhost")
FEATURES = (".h5", ".hdf5", ".npy")


@click.command()
@click.argument("source", metavar="RUN|FEATURES", type=options.FILE)
@console.with_settings(needs_dataset=False)
@options.data
@click.option("--model", type=options.FILE, help="The model of FEATURES. [artifacts/<dataset>/runs/<run>/model.pt]")
@click.option("--pictures", type=options.FILE, help="The folder of the images of FEATURES. [the dataset's]")
@click.option("--host", default=LOOPBACK[0], show_default=True, help="Another one is served with a token only.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one.")
@options.device
def browse(
    source: Path,
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    model: Path | None,
    pictures: Path | None,
    host: str,
    port: int,
    device: str,
) -> None:
    """Search a gallery with an image in a browser.

    RUN is a run's folder or a model.pt, and the gallery its dataset's; FEATURES is a file of `dsa-train embed`. The
    page is for this machine. Stop it with Ctrl-C.
    """
    if missing := [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]:
        packages = ", ".join(missing)
        raise ConfigError(
            f"The page needs packages that are not installed: {packages}. Install them: {install_command('browse')}"
        )
    if source.suffix in FEATURES:
        gallery = _of_features(source, settings, manifest, dsap, model, pictures, device)
    else:
        gallery = _of_run(source, settings, manifest, dsap, model, pictures)

    from ..browse.server import serve

    token = None if host in LOOPBACK else secrets.token_urlsafe(24)
    with _bound(host, port) as listening:
        name = "127.0.0.1" if token is None else host
        address = f"http://{name}:{listening.getsockname()[1]}/"
        click.echo(address if token is None else f"{address}?token={token}")
        serve(gallery, listening, LOOPBACK if token is None else ["*"], token)


def _of_run(
    run: Path, settings: Settings, manifest: Path | None, dsap: Path | None, model: Path | None, pictures: Path | None
) -> Gallery:
    if model or pictures:
        raise ConfigError("--model and --pictures are of FEATURES, and a run was named. Leave them out.")
    if not settings.dataset:
        raise ConfigError("The dataset of a run is needed. Name it: --dataset NAME, or --params FILE.")
    config = options.evaluate_config(settings, None)
    task = options.evaluation_task(settings, manifest, dsap, source=run)

    from ..browse.source import gallery_of_run

    return gallery_of_run(task, config)


def _of_features(
    features: Path,
    settings: Settings,
    manifest: Path | None,
    dsap: Path | None,
    model: Path | None,
    pictures: Path | None,
    device: str,
) -> Gallery:
    from ..gallery.feature_files import open_features

    dataset = open_features(features).header.dataset or settings.dataset
    path = options.existing_model(model, dataset, options.run_name(settings))
    if not dataset and not pictures:
        raise ConfigError("The images of these features are in no known dataset. Name their folder: --pictures DIR.")

    from dsa_data.sets import dataset_root

    from ..browse.source import gallery_of_features
    from ..torch_setup import choose_device

    made = console.artifacts(dataset) if dataset else features.parent
    root = pictures or dataset_root(dataset)
    return gallery_of_features(
        features, path, root, manifest or made / "manifest.csv", dsap or made / "dsap.h5", choose_device(device)
    )


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises ConfigError if that is not possible."""
    try:
        return socket.create_server((host, port))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"Port {port} of {host} cannot be used: {reason}. Name another --port, or 0 for any free one."
        ) from None
