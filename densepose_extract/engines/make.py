"""From settings to the engine that they name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dsa_app.errors import ConfigError
from dsa_app.process_group import ProcessGroup
from dsa_data.records import Record
from dsa_data.sets import is_synthetic

from ..config import ExtractConfig
from .engine import Engine
from .imported import Imported
from .maps import Maps
from .rendered import Rendered


def make_engine(
    config: ExtractConfig,
    dataset: str,
    root: Path,
    records: Sequence[Record],
    jobs: int = 1,
    group: ProcessGroup | None = None,
) -> Engine | Maps:
    """Make the engine that the settings name.

    Args:
        root, records: the dataset's folder and pictures, where engines that read ready maps look for them.

    Raises EngineError, CheckpointError or ImageError for what the engine lacks, ConfigError without `maps` to import.
    """
    name = config.engine
    if name == "auto":
        name = "rendered" if is_synthetic(dataset) else "native"
    if name == "rendered":
        return Rendered(root, config.errors)
    if name == "import":
        if config.maps is None:
            raise ConfigError("The import engine wants a folder of IUV pictures: densepose-extract import --from DIR.")
        return Imported(Path(config.maps), records, config.channels, config.allow_missing, jobs)
    group = group or ProcessGroup()
    from dsa_reid.device import device_name  # imports torch, which the engines above do without

    with group.main_first():  # it downloads the checkpoint
        device = device_name(config.device, group.local_rank)
        arguments = (config.checkpoint, device, config.precision, config.recipe, config.sha256)
        if name == "detectron2":
            from .detectron import DetectronEngine

            return DetectronEngine(*arguments)
        from .native import NativeEngine

        return NativeEngine(*arguments)
