"""The settings of an evaluation, section `evaluate` of params.yaml; the defaults are the paper's."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config

from .expansion import ExpansionConfig
from .rerank import RerankConfig

Match = Literal["main", "fused", "global", "local", "guide"]


@config
class EvaluateConfig:
    """How a trained network is measured.

    Attributes:
        match: the feature that is compared, of the joined ones each L2-normalised. "main" is (f_G, f_L), what is left
            of the network after training; "fused" (z_G, z_L); "global" z_G and "local" z_L alone, the Joint rows of
            Table 3; "guide" (d_G, d_L). All but "main" need the guide, and the query's and gallery's DSAP.
        distance: between those features.
        flip: average each picture's features with those of its mirror image.
        gallery: "whole" ranks every gallery picture; "single-shot" draws one of each identity, `repeats` times with
            `seed`, and takes the mean; "auto" is as the dataset's protocol has it.
        cameras: "other" leaves out pictures of the query's person from the query's camera, as all protocols do; with
            "ignore", for pictures of one camera, only copies of the query itself are left out.
        multiquery: pictures of the query's person and camera that ask together, by their mean or maximum; "off" is
            single query.
        trapezoid: average precision by trapezoids, as Market-1501's first code has it.
        expansion: of queries by their nearest gallery pictures.
        rerank: with k-reciprocal encoding.
        batch: pictures at once.
        keep: keep features beside the results, to be used again.
        memory: GiB that distances may take at a time.
        device, threads: as for training.
    """

    match: Match = "main"
    distance: Literal["euclidean", "cosine"] = "euclidean"
    flip: bool = False
    gallery: Literal["auto", "whole", "single-shot"] = "auto"
    repeats: PositiveInt = 10
    seed: NonNegativeInt = 0
    cameras: Literal["other", "ignore"] = "other"
    multiquery: Literal["off", "average", "maximum"] = "off"
    trapezoid: bool = False
    expansion: ExpansionConfig = ExpansionConfig()
    rerank: RerankConfig = RerankConfig()
    batch: PositiveInt = 64
    keep: bool = True
    memory: PositiveFloat = 0.5
    device: str = "auto"
    threads: NonNegativeInt = 0
