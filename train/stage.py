"""Stage three: from manifest, images and DSAP store to a trained model."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from dsa_app import console
from dsa_app.config import to_dict
from dsa_app.errors import CheckpointError
from dsa_app.lock import locked
from dsa_app.process_group import join_process_group
from dsa_data.records import Record, read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import digest_of
from dsa_reid.atomic import resolved
from dsa_reid.config import written
from dsa_reid.errors import ModelError
from dsa_reid.local_pooling import cells
from dsa_reid.model import load, save
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.vit import camera_indices
from dsap.config import WarpConfig
from dsap.mirror import read_symmetry

from . import checkpoint, loop, run_settings
from .batches.augment import mirror_table
from .batches.dataset import GIB, Images, memory_limit, number_identities
from .batches.feed import TrainingSet, epoch_order, generator
from .batches.parts_store import check_charts, check_confidence, open_store
from .batches.regions import mean_label_maps, of_other_people
from .calibration_fit import calibrate, hold_out
from .config import FREE, TrainConfig, sized, with_cameras
from .distributed import Processes, processes_on_this_machine
from .evaluation.config import EvaluateConfig
from .evaluation.multiquery import read_multiquery
from .evaluation.retrieval import Retrieval, check_matches, read_retrieval
from .kept_runs import brought_in
from .loop import Run
from .network.colours import colours_of
from .network.two_stream import TwoStream
from .pretrained import find_pretrained, load_pretrained
from .region_fit import fit_region_heads
from .torch_setup import choose_device, prepare_torch


def run(
    manifest: Path,
    root: Path,
    dsap: Path,
    out: Path,
    config: TrainConfig,
    warp: WarpConfig | None = None,
    overwrite: bool = False,
    evaluation: EvaluateConfig | None = None,
    experiment: str = "",
) -> Path:
    """Train a network, resuming an interrupted run in `out`; return the model file.

    Started by torchrun, the processes share every batch, and the main process writes.

    Args:
        manifest: lists the images.
        root: the dataset's folder.
        dsap: the DSAP store; not opened for a network without a guide and without region heads.
        out: folder of checkpoint.pt (both streams, and the state of the training), model.pt (the main stream alone),
            settings.json (what made it) and live/ (DVCLive's logs).
        warp: what the DSAP should have been built with; None for any settings.
        overwrite: start again if the checkpoint in `out` is damaged; if it is of another configuration or other data,
            the run is kept beside `out` (`kept_runs`).
        evaluation: how query and gallery are evaluated every `evaluate_every` epochs; None for the paper's way.
        experiment: the name of the run, for settings.json.

    Raises:
        CheckpointError: for a checkpoint that is damaged, or of another configuration or data.
        StoreError, DatasetError, ImageError: for data that is missing or does not fit.
        ConfigError: for settings that contradict each other.
        TrainingError: if the training cannot start or continue.
    """
    config = sized(config)
    out = resolved(out)
    with join_process_group() as group:
        device = choose_device(config.device, group.local_rank)
        processes = Processes(group, device)
        processes.check_identities(config.identities)
        processes.check_share(config.identities * config.pictures, config.synchronised_norm)
        prepare_torch(config.seed, config.deterministic, config.threads)

        records, held = hold_out(read_manifest(manifest, ["train"]), config.calibrate, config.seed)
        config = with_cameras(config, [record.camid for record in records])
        # regions are learnt from chart images, which do not depend on how the part images were warped
        store = open_store(dsap, warp if config.network.guide else None) if config.needs_store else None
        configuration = run_configuration(config, records, store)
        wanted = (configuration, config.epochs) if overwrite and processes.is_main else None
        with _locked_by_main(out, processes), brought_in(out, wanted):
            path, model = out / "checkpoint.pt", out / "model.pt"
            processes.wait()
            state = _checkpoint_to_resume(path, configuration, config.epochs, overwrite)
            finished = state is not None and state["epoch"] == config.epochs and _is_of(model, state)
            if state is None and processes.is_main:
                find_pretrained(config.network)
            preprocessing = preprocessing_of(config, state)
            data = open_training_set(root, records, store, config, preprocessing)
            epoch_order(data, config, epoch=0)  # refuses batches that cannot be sampled, before any image is read
            evaluation = dataclasses.replace(evaluation or EvaluateConfig(), match="main")
            retrieval = None if finished else _open_retrieval(manifest, root, config, evaluation, preprocessing)
            processes.wait()  # all have read the checkpoint; from here on files change
            made_with = {**configuration["train"], "epochs": config.epochs}
            stored = [configuration[name] for name in STORED if configuration.get(name)]
            made_of = manifest, experiment, digest_of(stored) if stored else ""
            if finished:
                if processes.is_main:
                    run_settings.write(out, made_with, store, *made_of)  # a run of an earlier version has none
                _print(processes, f"{out}: all {config.epochs} epochs are trained already.")
                return model

            _load_images(data.images, config, device)
            data = with_templates(data, config, device)
            training = _start_or_resume(data, config, device, processes, state)
            if state:
                _print(processes, f"{path}: resuming after {training.epoch} epochs and {training.step} steps.")
            if processes.is_main:
                model.unlink(missing_ok=True)  # of the same run with fewer epochs
            loop.train(training, data, configuration, out, retrieval, evaluation)
            if processes.is_main:
                with training.final_weights():
                    main = training.network.main
                    calibrations = calibrate(main, root, held, preprocessing, evaluation, records)
                    if calibrations.note:
                        _print(processes, calibrations.note)
                    found = calibrations.whole, calibrations.visible
                    save(main, model, data.images.preprocessing, training.pretrained, *found)
                run_settings.write(out, made_with, store, *made_of)
            processes.wait()
            return model


def run_configuration(config: TrainConfig, records: Sequence[Record], store: DsapStore | None) -> dict[str, Any]:
    """Return all that decides what a run computes: settings, and digests of images, DSAP and labels of regions.

    Raises StoreError for a store without the chart images that the run needs.
    """
    settings = {key: value for key, value in to_dict(config).items() if key not in FREE}
    # The content of a table of symmetry decides, not its path. Without one the configuration has no such key, so that
    # checkpoints of before there was this setting are resumed.
    if table := settings["augment"].pop("symmetry"):
        settings["augment"]["symmetry"] = hashlib.sha256(read_symmetry(Path(table)).tobytes()).hexdigest()
    # Settings that there were not always are left out in the same way where they have no effect.
    settings["network"]["main"] = written(settings["network"]["main"])
    _leave_out_later(settings)
    if config.network.main.local_pooling in ("average", "stripes") and not config.network.region_teacher:
        del settings["regions"]
    images = digest_of(f"{record.key} {record.pid} {record.digest}" for record in records)
    texels, more = None, {}

    def digest(checksums: np.ndarray) -> str:
        assert store is not None, "the caller has seen it"
        return digest_of(str(checksums[store.index(record.key)]) for record in records)

    if store and config.network.guide:
        texels = digest(store.checksums)
    if store and config.needs_labels:
        check_charts(store)
        more["charts"] = digest(store.chart_checksums)
    if store and config.needs_confidence:
        check_confidence(store)
    if store and config.weights_texels:
        more["confidence"] = digest(store.confidence_checksums)
    if store and config.weights_labels:
        more["chart_confidence"] = digest(store.chart_confidence_checksums)
    identities = len({record.pid for record in records})
    return {"train": settings, "identities": identities, "pictures": images, "dsap": texels, **more}


STORED = ("dsap", "charts", "confidence", "chart_confidence")
"""What of a run's configuration is digests of the DSAP store."""

LATER = (
    ("schedule", "steps"),
    ("network", "classified"),
    ("network", "region_teacher"),
    ("losses", "triplet_heads"),
    ("losses", "local_distance"),
    ("losses", "region_teacher"),
    ("guidance", "drop"),
    ("network", "colours"),
    ("network", "drop_path"),
    ("losses", "soft_margin"),
    ("guidance", "confidence"),
    ("guidance", "least_confidence"),
    ("regions", "confidence"),
    ("losses", "id_margin"),
    ("losses", "id_scale"),
    ("losses", "centre"),
    ("losses", "centre_rate"),
    ("network", "classifier"),
    ("augment", "policy"),
    ("augment", "policy_share"),
    ("augment", "operations"),
    ("augment", "magnitude"),
)
"""Settings, by section, that checkpoints did not always have."""


def _leave_out_later(settings: dict[str, Any]) -> None:
    """Remove the settings of `LATER` that have their default values, in place."""
    defaults = to_dict(TrainConfig())
    for section, name in LATER:
        if settings[section][name] == defaults[section][name]:
            del settings[section][name]
    for name in ("optimiser", "calibrate"):
        if settings[name] == defaults[name]:
            del settings[name]


def open_training_set(
    root: Path,
    records: Sequence[Record],
    store: DsapStore | None,
    config: TrainConfig,
    preprocessing: Preprocessing | None = None,
) -> TrainingSet:
    """Return what the network is trained on; images, DSAP and labels are read when they are needed.

    Args:
        preprocessing: of the images; that of the configuration if None.
    """
    identities = number_identities(record.pid for record in records)
    regions_of: list[int] | None = None
    if config.needs_labels:
        regions_of = list(range(len(records)))
        if config.regions.labels == "other":
            regions_of = of_other_people(identities, generator(config.seed, "regions of other people")).tolist()
    preprocessing = preprocessing or preprocessing_of(config)
    images = Images(
        root,
        records,
        preprocessing,
        store,
        config.network.guide,
        regions_of,
        config.guidance,
        config.weights_labels,
    )
    mirror = torch.zeros(0, dtype=torch.int64)
    if store and config.network.guide:
        symmetry = Path(config.augment.symmetry) if config.augment.symmetry else None
        mirror = mirror_table(store.header.configuration["warp"]["parts"], store.size, symmetry)
    main = config.network.main
    cameras = camera_indices(main.cameras, (record.camid for record in records)) if main.sie else None
    return TrainingSet(images, identities, mirror, cameras=cameras)


def with_templates(data: TrainingSet, config: TrainConfig, device: torch.device) -> TrainingSet:
    """Return a training set with the mean label map at each level that the network pools at; unchanged without labels.

    Raises TrainingError if no image has a label.
    """
    if not config.needs_labels:
        return data
    levels, size = config.network.main.local_levels, (config.height, config.width)
    maps = mean_label_maps(data.images, [cells(size, level) for level in levels])
    return dataclasses.replace(data, templates={level: one.to(device) for level, one in zip(levels, maps, strict=True)})


def preprocessing_of(config: TrainConfig, state: Mapping[str, Any] | None = None) -> Preprocessing:
    """Return the size of a run's images and the colours that they are normalised by.

    Args:
        state: of a checkpoint that is resumed, which has the colours of its pretrained weights; their file is not read.

    Raises CheckpointError, ModelError: as `colours_of`.
    """
    mean, std = (state or {}).get("pretrained", {}).get("colours") or colours_of(config.network)
    return Preprocessing(config.height, config.width, tuple(mean), tuple(std))


def _locked_by_main(out: Path, processes: Processes) -> AbstractContextManager[None]:
    """Return a context in which the main process holds the lock of the folder `out`. Raises BusyError."""
    busy = f"Another process is training in {out} now. Wait until it has finished, or choose another folder with --out."
    return locked(out, busy) if processes.is_main else nullcontext()


def _checkpoint_to_resume(
    path: Path, configuration: dict[str, Any], epochs: int, overwrite: bool
) -> dict[str, Any] | None:
    """Return the checkpoint to resume, or None to start from the beginning. Raises CheckpointError."""
    if not path.exists():
        return None
    try:
        state = checkpoint.load(path)
    except CheckpointError:
        if overwrite:
            return None
        raise
    made_with, wanted = dict(state["configuration"]), dict(configuration)
    # A run of fewer epochs is resumed to more. One that has trained more epochs than wanted is another run.
    if state["epoch"] > epochs:
        made_with["epochs"], wanted["epochs"] = state["epoch"], epochs
    if overwrite and made_with != wanted:
        return None
    checkpoint.check_same(path, made_with, wanted)
    return state


def _is_of(model: Path, state: dict[str, Any]) -> bool:
    """Return whether a model file can be read and has the weights of a checkpoint; another one is written again.

    DVC may have put the model of another commit there.
    """
    try:
        weights = load(model).main_stream.state_dict()
    except (ModelError, OSError):
        return False
    trained = state["network"]
    return all(torch.equal(value, trained[f"main.{key}"]) for key, value in weights.items() if f"main.{key}" in trained)


def _open_retrieval(
    manifest: Path, root: Path, config: TrainConfig, evaluation: EvaluateConfig, preprocessing: Preprocessing
) -> Retrieval | None:
    """Return query and gallery if the run is to be evaluated on them every few epochs.

    Raises TrainingError if no query has a match in the gallery: training would end at the first evaluation.
    """
    if not config.evaluate_every:
        return None
    records = read_manifest(manifest, ["query", "gallery"])
    more = read_multiquery(manifest, evaluation)
    retrieval = read_retrieval(root, records, preprocessing, multiquery=more)
    check_matches(retrieval, evaluation)
    return retrieval


def _start_or_resume(
    data: TrainingSet, config: TrainConfig, device: torch.device, processes: Processes, state: dict[str, Any] | None
) -> Run:
    """Return a run with pretrained weights and fitted region heads, or in the state of a checkpoint."""
    network = TwoStream(config.network, data.identities, config.losses.centre > 0)
    pretrained = None
    if state is None and processes.is_main:  # the others receive the weights of the main process
        pretrained = load_pretrained(network, config.network)
        if pretrained:
            click.echo(str(pretrained), err=True)
        _prepare_regions(network.to(device), data, config)
    training = Run(network.to(device), config, processes)
    if pretrained:
        used = data.images.preprocessing
        training.pretrained = pretrained.stored() | {"colours": [list(used.mean), list(used.std)]}
    if state:
        training.restore(state)
    return training


def _prepare_regions(network: TwoStream, data: TrainingSet, config: TrainConfig) -> None:
    """Fill the templates of a new network, or fit its region heads, if it has any."""
    pooling = network.main.local_pooling
    if pooling is None:
        return
    for level, template in pooling.templates().items():
        template.copy_(data.templates[level])
    if pooling.heads and config.regions.fit:
        right = fit_region_heads(network, data, config)
        words = ", ".join(
            f"{part.head:.1%} at stride {level} (mean label map: {part.template:.1%})" for level, part in right.items()
        )
        click.echo(f"Region heads fitted. Accuracy on the cells they were fitted to: {words}.", err=True)


def _load_images(images: Images, config: TrainConfig, device: torch.device) -> None:
    """Read images and DSAP into memory, or print that they are too large for it."""
    limit = memory_limit(config.memory) / processes_on_this_machine()
    memory_of = device if config.speed.resident else torch.device("cpu")
    if not images.load_into_memory(limit, config.workers, memory_of):
        click.echo(
            f"Images and DSAP take {images.bytes / GIB:.1f} GiB, train.memory allows {limit / GIB:.1f}: they are read "
            "from disk, batch by batch.",
            err=True,
        )


def _print(processes: Processes, message: str) -> None:
    """Print a message once, by the main process."""
    if processes.is_main:
        console.status(message)
