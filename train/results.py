"""The results of a dataset, artifacts/<dataset>/results: measures, each with the settings that made it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsa_app.errors import TrainingError
from dsa_app.guard import guarded
from dsa_reid.atomic import write_atomic

from . import result_settings
from .published import row_experiment
from .result_settings import SEED, UNKNOWN, Values

MEASURES = ("mAP", "rank1", "rank5", "rank10")
TEXTS = ("trained", "tested", "maps", "store")  # of a result's file
OTHER_IMAGES = "of other images than the manifest lists now"
TRAINED_ELSEWHERE = "trained on images of another manifest"


@dataclasses.dataclass(frozen=True)
class Result:
    """The measures of one evaluation, and what made them.

    Args:
        experiment: the name of the run.
        match: the feature that was compared.
        measures: the content of metrics.json, without its settings.
        values: settings that differ from the paper's; None if they are not known.
        trained, tested: SHA-256 of the manifests of the training, and of query and gallery.
        maps: where the maps of the training came from, in words; empty for a training without maps.
        store: digest of the part images and labels that the network was trained on and compared with; empty without.
    """

    experiment: str
    match: str
    measures: Mapping[str, Any]
    values: Values | None = None
    trained: str = ""
    tested: str = ""
    maps: str = ""
    store: str = ""

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return int((self.values or {}).get(SEED, 0))

    @property
    def digest(self) -> str:
        """Of all that decides the measures; empty if that is not known."""
        if self.values is None:
            return ""
        return result_settings.digest(self.values, self.match, self.trained + self.tested + self.store)

    def changes(self, experiment: str, manifest: str = "") -> list[str]:
        """Return how it was made otherwise than a row's experiment; empty for one of the row's own.

        Other images come first. Maps are no change, since no source of maps is a row's own: they decide the digest.

        Args:
            manifest: SHA-256 of the dataset's manifest; empty if there is none.
        """
        if self.values is None:
            return [UNKNOWN]
        found = [OTHER_IMAGES] if manifest and self.tested != manifest else []
        found += [TRAINED_ELSEWHERE] if self.trained != self.tested else []
        return found + result_settings.changes(self.values, result_settings.of_row(experiment))

    def summary(self) -> dict[str, str]:
        """Return what metrics.json says of it, as texts: run, match, digest, maps, changes from its row."""
        words = {"experiment": self.experiment, "match": self.match, "digest": self.digest}
        words |= {"maps": self.maps} if self.maps else {}
        return words | {"changes": ", ".join(self.changes(row_experiment(self.experiment)))}


def write(artifacts: Path, result: Result) -> Path:
    """Write a result to the dataset's results; return its file.

    <match>.json is that of the row's own settings, its first seed and the dataset's own images; the name of any other
    has the digest of what made it, so that none replaces another's. Of two that differ in their maps, the second has
    the digest in its name.
    """
    own = not result.changes(row_experiment(result.experiment), manifest_of(artifacts)) and result.seed == 0
    folder = artifacts / "results" / result.experiment
    path = folder / f"{result.match}.json"
    if not own or not _replaceable(path, result):
        path = folder / f"{result.match}-{result.digest[:8] or 'unknown'}.json"
    content = {**result.measures, "settings": result.summary()}
    content |= {"values": result.values, "trained": result.trained, "tested": result.tested}
    content |= {"maps": result.maps, "store": result.store} if result.store else {}
    return write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())


def _replaceable(path: Path, result: Result) -> bool:
    """Return whether a file is absent, of unknown settings, or of the same settings, images and maps as a result."""
    if not path.is_file():
        return True
    present = _read(path, result.experiment)
    return present.values is None or present.digest == result.digest


def read_all(artifacts: Path) -> list[Result]:
    """Return the results of a dataset; those of an earlier version have no settings. Raises TrainingError."""
    folder = artifacts / "results"
    return [_read(path, path.parent.relative_to(folder).as_posix()) for path in sorted(folder.rglob("*.json"))]


def _read(path: Path, experiment: str) -> Result:
    """Return the result in a file. Raises TrainingError for another file.

    Args:
        experiment: of a result that does not say it.
    """
    problem, remedy = "is not a result of dsa-train evaluate", "Remove it, or evaluate that run again."
    with guarded(TrainingError, path, problem, remedy):
        content = json.loads(path.read_text(encoding="utf-8"))
    if not _is_result(content):
        raise TrainingError(f"{path} {problem}. {remedy}")
    settings = content.pop("settings", None) or {}
    values = content.pop("values", "")
    made = [content.pop(name, "") for name in TEXTS]
    match = settings.get("match") or path.stem
    known = None if not settings or values is None else values or {}
    return Result(settings.get("experiment") or experiment, match, content, known, *made)


def _is_result(content: Any) -> bool:
    """Return whether JSON has the measures of an evaluation, and settings of the right kinds if it has any."""
    if not isinstance(content, dict) or not all(isinstance(content.get(name), int | float) for name in MEASURES):
        return False
    settings, values = content.get("settings") or {}, content.get("values") or {}
    texts = [content.get(name, "") for name in TEXTS]
    if not isinstance(settings, dict) or not result_settings.are_values(values):
        return False
    texts += [settings.get(name, "") for name in ("experiment", "match")]
    return all(isinstance(text, str) for text in texts)


def manifest_of(artifacts: Path) -> str:
    """Return the SHA-256 of a dataset's manifest; empty if there is none."""
    path = artifacts / "manifest.csv"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
