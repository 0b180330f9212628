"""The settings of training, section `train` of params.yaml; the defaults are the paper's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config

from .batches.augment import AugmentConfig
from .batches.guidance import GuidanceConfig
from .losses.terms import LossConfig
from .network.performance import SpeedConfig
from .network.two_stream import NetworkConfig
from .schedule import ScheduleConfig

# What may differ when a run is gone on with: none of it changes what the steps so far have computed.
FREE = ("epochs", "device", "threads", "workers", "memory", "evaluate_every", "save_every", "tensorboard", "speed")


@config
class TrainConfig:
    """How the network is trained (section 4.2 of the paper).

    Attributes:
        height, width: what pictures are resized to, in pixels.
        identities, pictures: P and K of a batch.
        accumulate: batches whose gradients are averaged for one step of the optimiser; batch norm and the triplets see
            one batch at a time. What an epoch leaves over makes a smaller step.
        freeze: epochs in which the trunk stays as it was loaded, statistics included, while the new layers learn (He et
            al. 2020, FastReID, "backbone freezing").
        ema: decay of a moving average of the weights, which is then measured and kept; 0 for none.
        synchronised_norm: of several processes: batch norm over all of the batch instead of each one's share.
        speed: how it is computed; may differ when a run is gone on with.
        evaluate_every: epochs between evaluations on query and gallery, for the log alone; 0 for none.
        save_every: epochs between checkpoints; the last epoch and an interrupted one are always saved.
        seed: of weights, batches and augmentation.
        deterministic: only operations that give the same bits twice, also on a GPU, where it costs time.
        precision: "auto" is bfloat16 autocast where the device has it, a GPU, and float32 elsewhere.
        device: "auto" is the first GPU, else the CPU.
        threads: of the CPU; 0 leaves torch's choice.
        memory: pictures and DSAP are kept in memory up to so many GiB, beyond that read from disk for each batch; None
            is half of the machine's memory.
        workers: threads that read and decode pictures.
        tensorboard: write TensorBoard's logs too.
    """

    height: PositiveInt = 256
    width: PositiveInt = 128
    identities: Annotated[int, Field(ge=1)] = 16
    pictures: Annotated[int, Field(ge=1)] = 4
    epochs: PositiveInt = 320
    weight_decay: NonNegativeFloat = 5e-4
    schedule: ScheduleConfig = ScheduleConfig()
    accumulate: PositiveInt = 1
    freeze: NonNegativeInt = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    synchronised_norm: bool = False
    augment: AugmentConfig = AugmentConfig()
    network: NetworkConfig = NetworkConfig()
    guidance: GuidanceConfig = GuidanceConfig()
    losses: LossConfig = LossConfig()
    speed: SpeedConfig = SpeedConfig()
    evaluate_every: NonNegativeInt = 0
    save_every: PositiveInt = 1
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0  # NumPy's bound
    deterministic: bool = False
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    device: str = "auto"
    threads: NonNegativeInt = 0
    memory: PositiveFloat | None = None
    workers: PositiveInt = 2
    tensorboard: bool = False
