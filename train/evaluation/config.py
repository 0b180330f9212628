"""The settings of an evaluation, section `evaluate` of params.yaml; the defaults are the paper's."""

from __future__ import annotations

from typing import Annotated, Literal

import pydantic
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from dsa_app.config import config

Match = Literal["main", "fused", "global", "local", "guide"]


@config
class ExpansionConfig:
    """Query expansion, see `expansion`; off by default, as in the paper.

    Attributes:
        neighbours: gallery images that are averaged into each query; 0 for none.
        alpha: a neighbour's weight is its cosine to the query, if positive, to this power; 0 weights all alike.
    """

    neighbours: NonNegativeInt = 0
    alpha: NonNegativeFloat = 3.0


@config
class RerankConfig:
    """Re-ranking with k-reciprocal encoding, see `rerank`; off by default, as in the paper.

    Attributes:
        on: whether to re-rank.
        k1: neighbours among which reciprocal ones are searched.
        k2: nearest neighbours over which encodings are averaged (local query expansion); 1 for none.
        weight: of the original distance beside the Jaccard distance, λ of equation 12.
    """

    on: bool = False
    k1: PositiveInt = 20
    k2: PositiveInt = 6
    weight: Annotated[float, Field(ge=0, le=1)] = 0.3


@config
class EvaluateConfig:
    """How a trained network is measured.

    Attributes:
        match: the feature that is compared, of the joined ones each L2-normalised. "main" is (f_G, f_L), of the main
            stream, the deployed part of the network; "fused" is (z_G, z_L); "global" z_G and "local" z_L alone, the
            Joint rows of Table 3; "guide" (d_G, d_L). All but "main" need the guide, and the DSAP of query and gallery.
        distance: between those features; "visible" is the mean distance of the global and the eight local features,
            these weighted by the visibility of their regions in both images (`dsa_reid.visible_distances`).
        min_seen: share of the body that both images have to show, for the distance "visible"; all other images are
            ranked last.
        unseen: for the distance "visible", the share of the weight that a region lacks, since not both images show it,
            at which it counts with its usual distance between two images of the gallery; 0 leaves it out. Ranks partly
            hidden people better at 0.5 (docs/evidence.md).
        regions: local features are pooled by the "predicted" regions, or by the labels of query and gallery, where
            they have maps ("labels"): what perfect prediction of the labels would give.
        flip: average each image's features with those of its mirror image.
        gallery: "whole" ranks every gallery image; "single-shot" samples one image of each identity, `repeats` times
            with `seed`, and reports the mean; "auto" is the dataset's own protocol.
        repeats: how often a single-shot gallery is sampled.
        seed: of these samples.
        cameras: "other" leaves out images of the query's person from the query's camera, as all protocols do; "ignore",
            for images of one camera, leaves out only copies of the query itself.
        clothes: "changed" counts only matches in other clothes than the query's, "same" only those in the same; other
            images of the query's person are left out. For datasets with clothes: LTCC, PRCC.
        tracklets: of a dataset that has them, MARS, query and gallery are tracklets, and each has one feature: the
            "mean" of its frames'; that of the "best" frame, which shows most of the body; or a mean in which each
            region weighs by its visibility ("visible"). "frames" compares these; "auto" is the mean. "best" and
            "visible" need a network that predicts regions.
        multiquery: all images of the query's person and camera make one query, by their mean or maximum; "off" is
            single query.
        trapezoid: compute average precision by trapezoids, as Market-1501's first code does.
        expansion: of queries by their nearest gallery images.
        rerank: with k-reciprocal encoding.
        batch: images that go through the network together.
        keep: keep the features beside the results, and use them again.
        memory: GiB that distances may take at a time.
        device, threads: as for training.
    """

    match: Match = "main"
    distance: Literal["euclidean", "cosine", "visible"] = "euclidean"
    min_seen: Annotated[float, Field(ge=0, le=1)] = 0.0
    unseen: Annotated[float, Field(ge=0, le=1)] = 0.0
    regions: Literal["predicted", "labels"] = "predicted"
    flip: bool = False
    gallery: Literal["auto", "whole", "single-shot"] = "auto"
    repeats: PositiveInt = 10
    seed: NonNegativeInt = 0
    cameras: Literal["other", "ignore"] = "other"
    clothes: Literal["any", "changed", "same"] = "any"
    tracklets: Literal["auto", "frames", "mean", "best", "visible"] = "auto"
    multiquery: Literal["off", "average", "maximum"] = "off"
    trapezoid: bool = False
    expansion: ExpansionConfig = ExpansionConfig()
    rerank: RerankConfig = RerankConfig()
    batch: PositiveInt = 64
    keep: bool = True
    memory: PositiveFloat = 0.5
    device: str = "auto"
    threads: NonNegativeInt = 0

    def __post_init__(self) -> None:
        """Check that the settings do not contradict each other."""
        if self.distance == "visible" and (self.rerank.on or self.expansion.neighbours):
            raise ValueError("distance = visible is for rankings without re-ranking and query expansion")
        if self.min_seen and self.distance != "visible":
            raise ValueError("min_seen needs distance = visible: other distances do not know what images show")
        if self.unseen and self.distance != "visible":
            raise ValueError("unseen needs distance = visible: other distances do not know what images show")
        if self.regions == "labels" and self.match != "main":
            raise ValueError("regions = labels is for match = main")
        if self.multiquery != "off" and self.tracklets not in ("auto", "frames"):
            raise ValueError(
                "multiquery is for images, and tracklets join the images of a tracklet: set one of the two"
            )

    @pydantic.field_validator("multiquery", mode="before")
    @classmethod
    def _off_is_no_boolean(cls, value: object) -> object:
        return "off" if value is False else value  # as YAML 1.1 reads the word off

    @property
    def needs_visibility(self) -> bool:
        """Whether features are extracted with the visibilities of the eight regions."""
        return self.distance == "visible" or self.tracklets in ("best", "visible")

    @property
    def compares_plainly(self) -> bool:
        """Whether images are ranked by the Euclidean distance of their own features: no re-ranking, no expansion."""
        return self.distance == "euclidean" and not self.rerank.on and not self.expansion.neighbours


SINGLE_SHOT = "one gallery image of each identity"  # begins its part of a protocol in words
TRACKLETS = {"best": "the frame that shows most", "visible": "their regions' visibility"}


def protocol(config: EvaluateConfig) -> str:
    """Return in words what differs from single query over the whole gallery; empty if nothing does."""
    differences = {
        f"{SINGLE_SHOT}, sampled {config.repeats} times": config.gallery == "single-shot",
        f"multi-query by the {config.multiquery}": config.multiquery != "off",
        "images of the query's camera are not left out": config.cameras == "ignore",
        f"matches in {config.clothes} clothes": config.clothes != "any",
        "frames of tracklets one by one": config.tracklets == "frames",
        f"tracklets by {TRACKLETS.get(config.tracklets, '')}": config.tracklets in ("best", "visible"),
        "flip test": config.flip,
        "cosine distance": config.distance == "cosine",
        "distances weighted by visibility": config.distance == "visible",
        f"images that share less than {config.min_seen:.0%} of the body last": config.min_seen > 0,
        f"regions that one image does not show count {config.unseen:.0%} at their usual distance": config.unseen > 0,
        "regions by the labels of query and gallery": config.regions == "labels",
        "average precision by trapezoids": config.trapezoid,
        f"queries expanded by {config.expansion.neighbours}": config.expansion.neighbours > 0,
        "re-ranked": config.rerank.on,
    }
    return "; ".join(words for words, applies in differences.items() if applies)
