"""The option of the pipeline that puts manifest, maps and part images into DVC's cache: three words in dvc.yaml."""

from __future__ import annotations

import re
from pathlib import Path

from dsa_app.errors import ConfigError
from dsa_app.file_names import why_no_file
from dsa_reid.atomic import write_atomic

PIPELINE = Path("dvc.yaml")
STAGES = ("prepare", "extract", "warp")
FILES = ("manifest.csv", "iuv.h5", "dsap.h5")  # the output of each
LINE = re.compile(
    r"^( *- artifacts/\$\{dataset\}/(" + "|".join(map(re.escape, FILES)) + r"): \{[^}\n]*\bcache: )(true|false)\b",
    re.MULTILINE,
)


def set_cached(cached: bool, pipeline: Path = PIPELINE) -> bool:
    """Write into a dvc.yaml whether DVC's cache holds the costly outputs; return whether that changed the file.

    Raises ConfigError if the file is missing, or has not the project's lines for them.
    """
    if not pipeline.is_file():
        raise ConfigError(
            f"{pipeline} {why_no_file(pipeline)}. Change to the project's folder, or make one: dsa-data new DIR"
        )
    text = pipeline.read_text(encoding="utf-8")
    missing = set(FILES) - {match[2] for match in LINE.finditer(text)}
    if missing:
        raise ConfigError(
            f"{pipeline} has no line '- artifacts/${{dataset}}/{min(missing)}: {{persist: true, cache: false}}'. "
            "Write the word after its cache: yourself."
        )
    changed = LINE.sub(lambda match: match[1] + str(cached).lower(), text)
    if changed != text:
        write_atomic(pipeline, changed.encode())
    return changed != text
