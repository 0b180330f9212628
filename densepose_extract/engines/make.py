"""The engine that the settings name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import joblib

from dsa_app.errors import ConfigError
from dsa_app.process_group import ProcessGroup
from dsa_data.records import Record
from dsa_data.sets import is_synthetic

from ..config import ExtractConfig
from .average import Average
from .dumped import Dumped, dumps_in
from .engine import Engine
from .imported import Imported, has_maps
from .keypoints import Keypoints
from .maps import FoundMaps, Maps
from .part_masks import read_mapping
from .rendered import Rendered
from .score_file import read_scores


def make_engine(
    config: ExtractConfig,
    dataset: str,
    root: Path,
    records: Sequence[Record],
    jobs: int = 1,
    group: ProcessGroup | None = None,
) -> Engine | Maps:
    """Return the engine that the settings name.

    Args:
        root: the dataset's folder, which holds the maps of a synthetic dataset.
        records: of the images whose maps are imported, or averaged.
        jobs: processes that inspect imported maps, or threads of the landmark network.
        group: the processes that share the work; this one alone by default.

    Raises EngineError, CheckpointError or ImageError for what the engine lacks, ConfigError if there are no `maps` to
    import or to average.
    """
    name = config.engine
    if name == "auto":
        name = "rendered" if is_synthetic(dataset) else "native"
    if name in ("rendered", "average") and config.bits != 8:
        raise ConfigError(f"extract.bits = 16 is invalid for the engine {name}, whose maps have 8 bits: leave it out.")
    if name == "rendered":
        return Rendered(root, config.errors, config.confidence)
    if config.confidence and name not in ("native", "pose", "keypoints"):
        raise ConfigError(
            f"extract.confidence is for the engines native and rendered, and this is {name}. Leave it out: imported "
            "maps have the confidence that their files hold."
        )
    if name == "average":
        if config.maps is None:
            raise ConfigError(
                "The average engine needs the store whose training maps are averaged: --set "
                f"extract.maps=artifacts/{dataset}/iuv.h5"
            )
        return Average(Path(config.maps), records)
    if name == "import":
        return make_import(config, records, jobs)
    if name == "keypoints":
        if config.keypoints is None:
            raise ConfigError("The keypoints engine needs the file or folder of the keypoints: --keypoints PATH.")
        masks = None if config.masks is None else Path(config.masks)
        return Keypoints(Path(config.keypoints), records, masks, config.allow_missing, config.bits)
    group = group or ProcessGroup()
    if name == "pose":
        from ..pose.model_file import SHA256, obtain
        from .pose import PoseEngine

        with group.main_first():
            model = obtain(config.pose_model)
        return PoseEngine(model, SHA256, config.bits, joblib.effective_n_jobs(jobs))
    from dsa_reid.device import device_name  # imports torch, which the engines above do without

    with group.main_first():  # the first process downloads the checkpoint, the others read it
        device = device_name(config.device, group.local_rank)
        arguments = (config.checkpoint, device, config.precision, config.recipe, config.sha256)
        if name == "detectron2":
            from .detectron import DetectronEngine

            return DetectronEngine(*arguments, bits=config.bits)
        from .native import NativeEngine

        vertices = None if config.vertices is None else Path(config.vertices)
        return NativeEngine(*arguments, bits=config.bits, confidence=config.confidence, vertices=vertices)


def make_import(config: ExtractConfig, records: Sequence[Record], jobs: int) -> FoundMaps:
    """Return the maps that the settings name: of a folder, or of dumps of apply_net.py.

    Raises ConfigError if there are no `maps` to import, or for settings that exclude each other, ImageError for maps.
    """
    if config.maps is None:
        raise ConfigError("The import engine needs the folder of the IUV images: densepose-extract import --from DIR.")
    source = Path(config.maps)
    if dumps := [] if has_maps(source) else dumps_in(source):
        unused = [name for name in ("mapping", "scores") if getattr(config, name) is not None]
        if unused:
            raise ConfigError(
                f"extract.{unused[0]} is for maps without scores or charts; {dumps[0]} has both: leave it out."
            )
        return Dumped(dumps, records, config.allow_missing, config.bits)
    mapping = None if config.mapping is None else read_mapping(config.mapping)
    if mapping is not None and config.bits == 16:
        raise ConfigError(
            "extract.bits = 16 is invalid with extract.mapping, as part masks have no u and v. Leave it out."
        )
    scores = None
    if config.scores is not None:
        scores = read_scores(Path(config.scores), [record.key for record in records])
    return Imported(
        source, records, config.channels, config.allow_missing, jobs, config.bits, mapping=mapping, scores=scores
    )
