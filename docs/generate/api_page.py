"""The Python reference: pages of directives that mkdocstrings fills in from the docstrings."""

from __future__ import annotations

import dsa_reid

EVALUATION = (
    "dsa_train.evaluation.metrics",
    "dsa_train.evaluation.retrieval",
    "dsa_train.evaluation.config",
    "dsa_train.evaluation.foreign",
)


def deployment() -> str:
    """Return the page of `dsa_reid`: every public name."""
    lines = [
        "# dsa_reid",
        "",
        "What a program that uses a trained model imports. It needs torch, torchvision, NumPy and Pillow. How it is",
        "used: [Deployment](../deploy.md). Letters in the shapes: [shapes](../shapes.md).",
        "",
    ]
    for name in sorted(dsa_reid.__all__, key=str.casefold):
        module = dsa_reid._MODULE_OF[name]
        lines += [
            f"::: dsa_reid.{module}.{name}",
            "    options:",
            f"      heading: dsa_reid.{name}",
            "      heading_level: 2",
            "",
        ]
    return "\n".join(lines)


def evaluation() -> str:
    """Return the page of `dsa_train.evaluation`."""
    lines = [
        "# dsa_train.evaluation",
        "",
        "Measures of a ranking from plain arrays, and the ranking of features without a distance matrix. How it is",
        "used: [Evaluation](../evaluation.md#as-a-library).",
        "",
    ]
    for module in EVALUATION:
        lines += [f"::: {module}", "    options:", "      heading_level: 2", "      show_root_full_path: true", ""]
    return "\n".join(lines)
