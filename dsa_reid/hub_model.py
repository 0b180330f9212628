"""Models in a folder with their card, or on the Hugging Face hub: `from_pretrained`, `save_pretrained`, `push_to_hub`.

Needs the extra `hub` for the hub itself; a folder needs nothing. Only model.pt is read, by the reader of `load`, which
runs no code in it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import ModelError
from .guard import reason
from .hub import HUB, fetch_weights, hub_client
from .model import Model, load

FILE, CARD, CONFIG = "model.pt", "README.md", "config.json"
LICENCE = "apache-2.0"


def from_pretrained(source: str | os.PathLike[str], device: str = "cpu") -> Model:
    """Read a model from a folder, a file, or the hub.

    Args:
        source: a folder with a model.pt, as `save_pretrained` or a training writes it; a model.pt; or "OWNER/NAME" of
            the hub, with "@REVISION" where another than the newest is wanted. The hub's cache is read first.
        device: as for `load`.

    Raises ModelError as `load`, and if the hub has no such model or cannot be reached.
    """
    path = Path(source)
    if path.is_dir():
        if not (path / FILE).is_file():
            raise ModelError(f"{path} has no {FILE}. Name the folder of a run, or one that save_pretrained wrote.")
        return load(path / FILE, device)
    name = str(source).removeprefix(HUB)
    if path.is_file() or name.count("/") != 1 or path.suffix == ".pt":
        return load(path, device)
    return load(fetch_weights(name, (FILE,), "give load() its path"), device)


def save_pretrained(
    model: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    metrics: Mapping[str, Any] | None = None,
    name: str = "",
) -> Path:
    """Write a model with its card and its configuration into a folder, as `push_to_hub` uploads it; return the folder.

    Args:
        model: a model.pt.
        metrics: as `dsa-train evaluate` writes them to metrics.json; None for a card without numbers.
        name: of the model on the hub, for the card's example; that of the folder if empty.

    Raises ModelError for what is no model.
    """
    read, folder = load(model), Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if Path(model).resolve() != (folder / FILE).resolve():
        shutil.copyfile(model, folder / FILE)
    (folder / CARD).write_text(model_card(read, metrics, name or folder.name), encoding="utf-8")
    (folder / CONFIG).write_text(json.dumps(_config(read), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def push_to_hub(
    model: str | os.PathLike[str],
    repository: str,
    metrics: Mapping[str, Any] | None = None,
    private: bool = True,
    token: str | None = None,
) -> str:
    """Upload a model with its card to the hub; return the address of its page.

    Args:
        model: a model.pt.
        repository: "OWNER/NAME"; made if it does not exist.
        metrics: as for `save_pretrained`.
        private: whether a new repository is. Weights may hold what people look like: decide who may have them.
        token: of the hub; None for the one that `huggingface-cli login` stored.

    Raises ModelError for what is no model, and for whatever the hub answers.
    """
    if repository.count("/") != 1:
        raise ModelError(f"{repository!r} is not the name of a repository. Write OWNER/NAME.")
    hub = hub_client()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(model, folder, metrics, repository)
        try:
            api = hub.HfApi(token=token)
            page = api.create_repo(repository, private=private, exist_ok=True)
            api.upload_folder(repo_id=repository, folder_path=folder, commit_message="Upload model.pt with its card")
        except Exception as error:  # of the hub's client, of its HTTP library, or of the system
            raise ModelError(
                f"{repository} could not be uploaded ({reason(error)}). Check the name, the network, and that you are "
                "logged in: huggingface-cli login."
            ) from None
    return str(page)


def model_card(model: Model, metrics: Mapping[str, Any] | None = None, name: str = "OWNER/NAME") -> str:
    """Return the card of a model: metadata of the hub in YAML, what the model is, its results, and how to use it."""
    main, preprocessing = model.main_stream.config, model.preprocessing
    measured = _measured(metrics or {})
    parts = ", ".join(f"{part} {length}" for part, length in model.parts.items())
    lines = [
        "---",
        "library_name: dsa-reid",
        f"license: {LICENCE}",
        "pipeline_tag: image-feature-extraction",
        "tags: [person-re-identification, image-retrieval, pytorch]",
        *_index(measured, name),
        "---",
        "",
        f"# {name}",
        "",
        "Features of people for re-identification, trained by dsa-reid (densely semantically aligned person",
        "re-identification, CVPR 2019). The guide of the training is not needed and not in the file.",
        "",
        "| | |",
        "|---|---|",
        f"| trunk | {main.trunk}, width {main.width:g} |",
        f"| input | RGB, resized to {preprocessing.height}×{preprocessing.width} |",
        f"| feature | {model.dimensions} numbers: {parts} |",
        f"| parameters | {sum(one.numel() for one in model.main_stream.parameters()):,} |",
        f"| probabilities | {_calibrated(model)} |",
        f"| SHA-256 of {FILE} | {model.digest} |",
        "",
        *_results(measured),
        "## Use",
        "",
        "```python",
        "import dsa_reid",
        "",
        f'model = dsa_reid.from_pretrained("{name}")',
        'features = model.embed(["a.jpg", "b.jpg"])',
        "print(dsa_reid.distances(features, features))",
        "```",
        "",
        f"`{FILE}` is read without running code in it.",
        "",
    ]
    return "\n".join(lines)


def _measured(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dataset and the measures in percent of a metrics.json; empty without a number."""
    numbers = {
        title: 100 * float(metrics[key])
        for title, key in (("Rank-1", "rank1"), ("mAP", "mAP"), ("mINP", "mINP"))
        if isinstance(metrics.get(key), int | float)
    }
    settings = metrics.get("settings")
    dataset = settings.get("dataset", "") if isinstance(settings, Mapping) else ""
    return {"dataset": str(dataset), "numbers": numbers} if numbers else {}


def _index(measured: Mapping[str, Any], name: str) -> list[str]:
    """Return the results as the hub's lists of results have them."""
    if not measured:
        return []
    dataset = measured["dataset"] or "unknown"
    return [
        "model-index:",
        f"- name: {json.dumps(name)}",
        "  results:",
        "  - task: {type: image-feature-extraction, name: person re-identification}",
        f"    dataset: {{name: {json.dumps(dataset)}, type: {json.dumps(dataset)}}}",
        "    metrics:",
        *(
            f"    - {{type: {json.dumps(title.lower())}, name: {json.dumps(title)}, value: {value:.2f}}}"
            for title, value in measured["numbers"].items()
        ),
    ]


def _calibrated(model: Model) -> str:
    """Return in words which distances of a model have probabilities."""
    if model.calibration is None:
        return "not calibrated"
    return "calibrated, visible distances too" if model.visible_calibration else "calibrated"


def _results(measured: Mapping[str, Any]) -> list[str]:
    if not measured:
        return []
    titles, values = measured["numbers"].keys(), measured["numbers"].values()
    on = f", on {measured['dataset']}" if measured["dataset"] else ""
    return [
        "## Results",
        "",
        f"Percent{on}, as `dsa-train evaluate` measures them.",
        "",
        f"| {' | '.join(titles)} |",
        f"|{'---|' * len(titles)}",
        f"| {' | '.join(f'{value:.1f}' for value in values)} |",
        "",
    ]


def _config(model: Model) -> dict[str, Any]:
    """Return what other programs may read: the kind of the network, and its preprocessing."""
    preprocessing = model.preprocessing
    return {
        "library_name": "dsa-reid",
        "architecture": model.main_stream.config.trunk,
        "num_features": model.dimensions,
        "input_size": [3, preprocessing.height, preprocessing.width],
        "mean": list(preprocessing.mean),
        "std": list(preprocessing.std),
        "sha256": model.digest,
    }
