"""The recipes, experiments/recipes: published methods by name, with what their authors published.

Every number was read in the source that stands beside it; None where no source was read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

FOLDER = "recipes/"
GUIDED = "+dsa"  # ends the name of a recipe with the guide on top
DATASETS = {  # with published numbers, by their names in `dsa-data list`, and as a table has them
    "market1501": "Market-1501",
    "dukemtmcreid": "DukeMTMC",
    "cuhk03": "CUHK03",
    "msmt17": "MSMT17",
}
EXACT = ("market1501", "dukemtmcreid", "msmt17")
"""Datasets that a result of ours stands beside; sources do not always say which boxes of CUHK03 they used."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A recipe.

    Attributes:
        title: of the method.
        published: Rank-1 and mAP in percent, by dataset.
        source: where they were read.
    """

    title: str
    published: Mapping[str, tuple[float, float]]
    source: str

    def of(self, dataset: str) -> tuple[float, float] | None:
        """Return Rank-1 and mAP in percent; None where they were not read in a source."""
        return self.published.get(dataset)


RECIPES = {
    "ide": Recipe(
        "Softmax baseline",
        {"market1501": (87.9, 70.4), "dukemtmcreid": (78.3, 58.9), "msmt17": (63.2, 33.9)},
        "github.com/KaiyangZhou/deep-person-reid, MODEL_ZOO.md, resnet50",
    ),
    "bot": Recipe(
        "Bag of tricks",
        {"market1501": (94.5, 85.9), "dukemtmcreid": (86.4, 76.4), "cuhk03": (58.0, 56.6), "msmt17": (63.4, 45.1)},
        "github.com/michuanhaohao/reid-strong-baseline, README.md; CUHK03 and MSMT17: github.com/mangye16/ReID-Survey, "
        "README.md, BNNneck",
    ),
    "agw": Recipe(
        "AGW",
        {"market1501": (95.1, 87.8), "dukemtmcreid": (89.0, 79.6), "cuhk03": (63.6, 62.0), "msmt17": (68.3, 49.3)},
        "github.com/mangye16/ReID-Survey, README.md",
    ),
    "sbs": Recipe(
        "Stronger baseline",
        {"market1501": (95.4, 88.2), "dukemtmcreid": (89.6, 79.8), "msmt17": (83.3, 59.9)},
        "github.com/JDAI-CV/fast-reid, MODEL_ZOO.md, SBS(R50)",
    ),
    "pcb": Recipe(
        "PCB",
        {"market1501": (92.3, 77.4)},
        "the paper's abstract, arXiv 1711.09349; the authors' code: about 93.0 and 78.0, "
        "github.com/syfafterzy/PCB_RPP_for_reID, README.md",
    ),
    "mgn": Recipe(
        "MGN",
        {"market1501": (95.7, 86.9), "dukemtmcreid": (88.7, 78.4), "cuhk03": (68.0, 67.4)},
        "hyper.ai/papers/1804.01438, benchmarks; CUHK03 with labelled boxes",
    ),
    "transreid-vit-b": Recipe(
        "TransReID",
        {"market1501": (95.1, 89.0), "dukemtmcreid": (90.7, 82.2), "msmt17": (85.3, 67.8)},
        "github.com/damo-cv/TransReID, README.md, TransReID*(ViT) at 256×128, with its jigsaw module",
    ),
    "solider-swin-t": Recipe(
        "SOLIDER, Swin-T",
        {"market1501": (96.1, 91.6), "msmt17": (85.9, 67.4)},
        "github.com/tinyvision/SOLIDER-REID, README.md, with SOLIDER's weights",
    ),
    "osnet": Recipe(
        "OSNet x1.0",
        {"market1501": (94.2, 82.6), "dukemtmcreid": (87.0, 70.2), "msmt17": (74.9, 43.8)},
        "github.com/KaiyangZhou/deep-person-reid, MODEL_ZOO.md, osnet_x1_0",
    ),
    "mobile": Recipe(
        "MobileNetV2",
        {"market1501": (85.6, 67.3), "dukemtmcreid": (74.2, 54.7), "msmt17": (57.4, 29.3)},
        "github.com/KaiyangZhou/deep-person-reid, MODEL_ZOO.md, mobilenetv2_x1_0, by a softmax loss alone",
    ),
}
EXPERIMENTS = tuple(f"{FOLDER}{name}{end}" for name in RECIPES for end in ("", GUIDED))


def recipe_of(experiment: str) -> Recipe | None:
    """Return the recipe of an experiment without the guide; None for any other experiment."""
    return RECIPES.get(experiment.removeprefix(FOLDER)) if experiment.startswith(FOLDER) else None
