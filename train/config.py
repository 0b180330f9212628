"""The settings of training, section `train` of params.yaml; importing them does not import torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.assignments import assignments
from dsa_app.config import config
from dsa_app.errors import ConfigError
from dsa_reid.config import TIMM, MainStreamConfig

from .batches.config import AugmentConfig, GuidanceConfig
from .losses.config import MARGINS, LossConfig
from .network.config import NetworkConfig, RegionConfig, SpeedConfig
from .optimiser_config import OptimiserConfig
from .schedule import ScheduleConfig

MAIN = "train.network.main"  # the section of the main stream's settings
# Settings that may change when a run is resumed: none of them affects what the steps before it have computed.
FREE = ("epochs", "device", "threads", "workers", "memory", "evaluate_every", "save_every", "tensorboard", "speed")


@config
class TrainConfig:
    """How the network is trained (section 4.2 of the paper); the defaults are the paper's.

    Attributes:
        height, width: what images are resized to, in pixels.
        identities, pictures: P and K of a batch.
        epochs: of the whole training.
        weight_decay: L2 penalty on the weights, in every step.
        accumulate: batches whose gradients are averaged for one step of the optimiser; batch norm and the triplets see
            one batch at a time. The batches left over at the end of an epoch make a smaller step.
        freeze: epochs in which the trunk keeps its pretrained weights and statistics while the new layers learn (He et
            al. 2020, FastReID, "backbone freezing").
        ema: decay of a moving average of the weights, which is then evaluated and saved; 0 for none.
        synchronised_norm: with several processes: batch norm over the whole batch instead of each process's share.
        regions: how the heads learn that predict body regions, if the network has any.
        speed: how it is computed; may change when a run is resumed.
        evaluate_every: epochs between evaluations on query and gallery, for the log alone; 0 for none.
        save_every: epochs between checkpoints; the last epoch and an interrupted one are always saved.
        calibrate: share of the training identities that are held out from training, and on which the finished model's
            distances are calibrated: they then give probabilities. 0 for none, as in the paper.
        seed: of weights, batches and augmentation.
        deterministic: only operations that give the same bits twice, also on a GPU, where it costs time.
        precision: "auto" is bfloat16 autocast where the device has it, a GPU, and float32 elsewhere.
        device: "auto" is the first GPU, else the CPU.
        threads: of the CPU; 0 leaves torch's choice.
        memory: images and DSAP are kept in memory up to so many GiB, beyond that read from disk for each batch; None
            is half of the machine's memory.
        workers: threads that read and decode images.
        tensorboard: write TensorBoard's logs too.
    """

    height: PositiveInt = 256
    width: PositiveInt = 128
    identities: Annotated[int, Field(ge=1)] = 16
    pictures: Annotated[int, Field(ge=1)] = 4
    epochs: PositiveInt = 320
    weight_decay: NonNegativeFloat = 5e-4
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    accumulate: PositiveInt = 1
    freeze: NonNegativeInt = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    synchronised_norm: bool = False
    augment: AugmentConfig = AugmentConfig()
    network: NetworkConfig = NetworkConfig()
    guidance: GuidanceConfig = GuidanceConfig()
    losses: LossConfig = LossConfig()
    regions: RegionConfig = RegionConfig()
    speed: SpeedConfig = SpeedConfig()
    evaluate_every: NonNegativeInt = 0
    save_every: PositiveInt = 1
    calibrate: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # NumPy's bound
    deterministic: bool = False
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    device: str = "auto"
    threads: NonNegativeInt = 0
    memory: PositiveFloat | None = None
    workers: PositiveInt = 2
    tensorboard: bool = False

    def __post_init__(self) -> None:
        """Check that the losses fit the classifier. Raises ConfigError."""
        classifier, losses = self.network.classifier, self.losses
        margins = MARGINS.get(classifier)
        if margins is None and (losses.id_margin is not None or losses.id_scale is not None):
            raise ConfigError(
                f"train.losses.id_margin and id_scale are for train.network.classifier={', '.join(MARGINS)}; this is "
                f"{classifier}. Leave them out, or choose one of those."
            )
        if margins is not None and losses.teach.logits:
            raise ConfigError(
                f"train.losses.teach.logits needs logits, and train.network.classifier={classifier} gives cosines. "
                "Set classifier=hidden or linear, or logits=0."
            )

    @property
    def needs_labels(self) -> bool:
        """Whether training needs to know the body regions of images."""
        main = self.network.main
        predicts = main.predicts_regions and self.regions.weight > 0
        return predicts or main.local_pooling == "template" or self.network.region_teacher

    @property
    def weights_labels(self) -> bool:
        """Whether the loss weights labels of regions by their confidence."""
        return self.regions.confidence and self.network.main.predicts_regions and self.regions.weight > 0

    @property
    def weights_texels(self) -> bool:
        """Whether the guide weights or drops texels by their confidence."""
        return self.network.guide and self.guidance.confidence != "ignore"

    @property
    def needs_confidence(self) -> bool:
        """Whether training needs the confidences of the DSAP store."""
        return self.weights_labels or self.weights_texels

    @property
    def needs_store(self) -> bool:
        """Whether training needs the DSAP store, for the guide's part images or for labels of regions."""
        return self.network.guide or self.needs_labels


def whole_names(changes: Mapping[str, object]) -> dict[str, object]:
    """Return settings that an error of `dsa_reid` names, by their whole names: "train.network.main.trunk".

    A size is that of the images too.
    """
    found: dict[str, object] = {}
    for name, value in changes.items():
        if name == "size" and isinstance(value, list):
            found |= {"train.height": value[0], "train.width": value[1]}
        section = "train.network" if name in (field.name for field in dataclasses.fields(NetworkConfig)) else MAIN
        found[f"{section}.{name}"] = value
    return found


def sized(config: TrainConfig) -> TrainConfig:
    """Return the settings with a timm trunk or a template for images of the run's size, where none was set.

    Raises ConfigError for a size that was set and is not the run's.
    """
    main, size = config.network.main, (config.height, config.width)
    fixed = f"trunk {main.trunk}" if main.trunk.startswith(TIMM) else "template"
    if (fixed == "template" and main.local_pooling != fixed) or tuple(main.size) == size:
        return config
    if tuple(main.size) != MainStreamConfig().size:
        raise ConfigError(
            f"The {fixed} is built for images of {main.size[0]}x{main.size[1]}, the run's are {size[0]}x{size[1]}. "
            "Leave train.network.main.size out, which is then that of train.height and train.width, or add: "
            + assignments({f"{MAIN}.size": list(size)})
        )
    main = dataclasses.replace(main, size=size)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, main=main))


def with_cameras(config: TrainConfig, camids: Iterable[int]) -> TrainConfig:
    """Return the settings with the cameras of a network that has an embedding of the camera; others unchanged.

    Args:
        camids: of the training images.

    Raises ConfigError for cameras that were set and are not those of the images.
    """
    main, cameras = config.network.main, tuple(sorted(set(camids)))
    if not main.sie or tuple(main.cameras) == cameras:
        return config
    if main.cameras:
        raise ConfigError(
            f"The training images are of the cameras {list(cameras)}, train.network.main.cameras is "
            f"{list(main.cameras)}. Leave it out: it is then that of the images."
        )
    main = dataclasses.replace(main, cameras=cameras)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, main=main))
