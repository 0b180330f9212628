"""Stage three from paths to a path: manifest, pictures and DSAP to a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click
import torch

from dsa_app.config import to_dict
from dsa_app.errors import CheckpointError, ConfigError
from dsa_app.lock import locked
from dsa_app.team import gathered
from dsa_data.records import Record, read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import digest_of
from dsa_reid.errors import ModelError
from dsa_reid.main_stream import TIMM
from dsa_reid.model import load, save
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.timm_trunk import colours
from dsap.config import WarpConfig

from . import checkpoint, loop
from .batches.augment import mirror_table
from .batches.dataset import GIB, Images, memory_limit, number, open_store
from .batches.feed import TrainingSet, epoch_order
from .config import FREE, TrainConfig
from .device import choose_device, prepare
from .distributed import Processes, processes_here
from .evaluation.retrieval import Retrieval, read_retrieval
from .loop import Run
from .network.two_stream import TwoStream
from .pretrained import initialise


def run(
    manifest: Path,
    root: Path,
    dsap: Path,
    out: Path,
    config: TrainConfig,
    warp: WarpConfig | None = None,
    overwrite: bool = False,
) -> Path:
    """Train a network, going on with what an interrupted run left in `out`; return the model file.

    Started by torchrun, the processes share every batch, and the first of them writes.

    Args:
        manifest: lists the pictures.
        root: the dataset's folder.
        dsap: the DSAP store; not opened for a network without a guide.
        out: folder of checkpoint.pt (both streams, and all that training needs), model.pt (the main stream alone)
            and live/ (DVCLive's logs).
        warp: what the DSAP should have been built with; None to take it as it is.
        overwrite: start anew if the checkpoint in `out` is damaged, or of another configuration or other data.

    Raises:
        CheckpointError: for a checkpoint that is damaged, or of another configuration or data.
        StoreError, DatasetError, PictureError: for data that is missing or does not fit.
        ConfigError: for settings that contradict each other.
        TrainingError: if the training cannot start or go on.
    """
    with gathered() as team:
        device = choose_device(config.device, team.local)
        processes = Processes(team, device)
        processes.check(config.identities)
        prepare(config.seed, config.deterministic, config.threads)
        records = read_manifest(manifest, ["train"])
        store = open_store(dsap, warp) if config.network.guide else None
        configuration = identity(config, records, store)
        check_size(config)
        busy = f"Another process is training in {out} now. Wait for it, or name another --out."
        with locked(out, busy) if processes.leads else nullcontext():
            path, model = out / "checkpoint.pt", out / "model.pt"
            state = _found(path, configuration, config.epochs, overwrite)
            finished = state is not None and state["epoch"] == config.epochs and _whole(model)
            data = read_data(root, records, store, config, None if finished else _retrieval(manifest, root, config))
            epoch_order(data, config, epoch=0)  # what cannot be drawn is refused before anything is read
            processes.wait()  # from here on files change
            if finished:
                _tell(processes, f"{out}: all {config.epochs} epochs were done already.")
                return model
            network = TwoStream(config.network, data.identities)
            if state is None and processes.leads:  # the others get their weights from the first
                initialise(network, config.network)
            going = Run(network.to(device), config, processes)
            if state:
                going.restore(state)
                _tell(processes, f"{path}: going on after {going.epoch} epochs and {going.step} steps.")
            _keep(data.pictures, config, device)
            if processes.leads:
                model.unlink(missing_ok=True)  # of a shorter run that is now made longer
            loop.train(going, data, configuration, out)
            if processes.leads:
                with going.used():
                    save(network.main, model, data.pictures.preprocessing)
            processes.wait()
            return model


def check_size(config: TrainConfig) -> None:
    """Raise ConfigError where a trunk is built for pictures of another size than the run's."""
    main = config.network.main
    if main.trunk.startswith(TIMM) and tuple(main.size) != (config.height, config.width):
        raise ConfigError(
            f"The trunk {main.trunk} is built for pictures of {main.size[0]}x{main.size[1]}, the run's are "
            f"{config.height}x{config.width}. Set train.network.main.size=[{config.height},{config.width}]."
        )


def identity(config: TrainConfig, records: Sequence[Record], store: DsapStore | None) -> dict[str, Any]:
    """Return all that decides what the steps of a run compute: settings, pictures and DSAP."""
    settings = {key: value for key, value in to_dict(config).items() if key not in FREE}
    pictures = digest_of(f"{record.key} {record.pid} {record.digest}" for record in records)
    texels = digest_of(str(store.checksums[store.index(record.key)]) for record in records) if store else None
    identities = len({record.pid for record in records})
    return {"train": settings, "identities": identities, "pictures": pictures, "dsap": texels}


def read_data(
    root: Path,
    records: Sequence[Record],
    store: DsapStore | None,
    config: TrainConfig,
    retrieval: Retrieval | None = None,
) -> TrainingSet:
    """Return what the network is trained on, still on the disk."""
    pictures = Images(root, records, preprocessing_of(config), store)
    mirror = torch.zeros(0, dtype=torch.int64)
    if store:
        mirror = mirror_table(store.header.configuration["warp"]["parts"], store.size)
    return TrainingSet(pictures, number(record.pid for record in records), mirror, retrieval)


def _keep(pictures: Images, config: TrainConfig, device: torch.device) -> None:
    """Read pictures and DSAP into memory, or say that they are too large for it."""
    limit = memory_limit(config.memory) / processes_here()
    where = device if config.speed.resident else torch.device("cpu")
    if not pictures.keep(limit, config.workers, where):
        click.echo(
            f"Pictures and DSAP take {pictures.bytes / GIB:.1f} GiB, of which train.memory allows {limit / GIB:.1f}: "
            "they are read from disk, batch by batch.",
            err=True,
        )


def _tell(processes: Processes, message: str) -> None:
    if processes.leads:
        click.echo(message, err=True)


def _retrieval(manifest: Path, root: Path, config: TrainConfig) -> Retrieval | None:
    """Return query and gallery if the run is to measure itself on them now and then."""
    if not config.evaluate_every:
        return None
    records = read_manifest(manifest, ["query", "gallery"])
    return read_retrieval(root, records, preprocessing_of(config))


def preprocessing_of(config: TrainConfig) -> Preprocessing:
    """Return the size and colours that a run trains on: ImageNet's, or what timm's weights were trained with."""
    network = config.network
    if network.weights == "imagenet" and network.main.trunk.startswith(TIMM):
        mean, std = colours(network.main.trunk.removeprefix(TIMM))
        return Preprocessing(config.height, config.width, mean, std)
    return Preprocessing(config.height, config.width)


def _whole(model: Path) -> bool:
    """Tell whether a model file is there and can be read; one that is damaged is written again."""
    try:
        load(model)
    except (ModelError, OSError):
        return False
    return True


def _found(path: Path, configuration: dict[str, Any], epochs: int, overwrite: bool) -> dict[str, Any] | None:
    """Return the checkpoint to go on with, or None to start anew."""
    if not path.exists():
        return None
    try:
        state = checkpoint.load(path)
    except CheckpointError:
        if overwrite:
            return None
        raise
    made_with, wanted = dict(state["configuration"]), dict(configuration)
    if state["epoch"] > epochs:  # a longer run is another one; a shorter one is made longer
        made_with["epochs"], wanted["epochs"] = state["epoch"], epochs
    if overwrite and made_with != wanted:
        return None
    checkpoint.check_same(path, made_with, wanted)
    return state
