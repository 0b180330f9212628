"""Features of images, written to a file in pieces: an interrupted run resumes with the pieces that are missing."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import itertools
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsa_app.console import progress
from dsa_app.errors import DatasetError, ImageError, TrainingError
from dsa_data import images
from dsa_data.stores.features import TYPES, Origin
from dsa_data.stores.header import Header, digest_of
from dsa_data.stores.pieces import Pieces, delete_leftovers
from dsa_data.stores.reuse import open_reusable
from dsa_reid.atomic import atomic
from dsa_reid.model import Model
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.read_ahead import read_ahead

from . import feature_files
from .sources import Source

PIECE = 512  # images in a piece: what is lost at most when a run is killed
AHEAD = 256  # images read ahead of the network


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The file of features, their number, and the images left out since they cannot be read: (key, reason) each."""

    path: Path
    count: int
    skipped: list[tuple[str, str]]


def embed(
    sources: Sequence[Source],
    model: Model,
    out: Path,
    dataset: str = "",
    dtype: str = "float32",
    batch: int = 64,
    workers: int = 1,
    skip_broken: bool = False,
    overwrite: bool = False,
    visibility: bool = False,
) -> Embedded:
    """Write the features of images to a file, resuming an interrupted run.

    Args:
        sources: the images, in the order of the rows.
        out: .h5, or .npy for one with a .csv and a .json beside it.
        dataset: its name, which the file notes; empty for a folder.
        dtype: "float32" or "float16".
        batch: images that go through the network together; other batches change the features by rounding only.
        workers: threads that read ahead of the network.
        skip_broken: leave out images that cannot be read, and list them in `<out>.skipped.csv`; otherwise the first one
            raises ImageError.
        overwrite: replace features of other images, another model or other settings.
        visibility: append the visibilities of the eight regions; searches then compare what both images show.

    Raises:
        ModelError: if the visibilities are asked for and the model does not predict regions.
        ConfigError: if the name of `out` has another suffix.
        ImageError: for an image that cannot be read.
        StoreError: if `out` exists with other content, or pieces of a run with other settings do.
        TrainingError: if a feature is not a number.
    """
    feature_files.check_name(out)
    parts = model.parts_with_visibility if visibility else model.parts
    if visibility:
        model.check_visibility()
    origin = Origin(model.digest, _plain(model.preprocessing), parts)
    configuration = {"origin": dataclasses.asdict(origin), "type": dtype, "skip_broken": skip_broken}
    header = Header(dataset, configuration, digest_of(f"{source.key} {source.digest}" for source in sources))
    made_with = {"dataset": dataset, "inputs": header.inputs, **configuration}
    if _is_done(out, header, overwrite):
        delete_leftovers(out, made_with)
        skipped = _read_skipped(out)
        return Embedded(out, len(sources) - len(skipped), skipped)
    with Pieces(out, made_with, overwrite) as pieces:
        starts = range(0, len(sources), PIECE)
        todo = [start for start in starts if not pieces.has(str(start))]
        left = sum(len(sources[start : start + PIECE]) for start in todo)
        computed = _compute(sources, todo, model, pieces, dtype, batch, workers, visibility)
        for _ in progress(computed, left, "Embedding", each=0):
            pass
        reasons = [str(reason) for start in starts for reason in pieces.read(str(start))["reason"]]
        skipped = [(source.key, reason) for source, reason in zip(sources, reasons, strict=True) if reason]
        kept = [source for source, reason in zip(sources, reasons, strict=True) if not reason]
        if not kept:
            raise DatasetError(f"None of {len(sources)} images can be read. The first: {reasons[0]}")
        _write_skipped(out, skipped)
        keys, digests = [source.key for source in kept], [source.digest for source in kept]
        shape, blocks = (len(kept), sum(parts.values())), (_kept_rows(pieces, start) for start in starts)
        pieces.assemble(lambda part: feature_files.write(part, out, header, keys, digests, shape, blocks))
    return Embedded(out, len(kept), skipped)


def _compute(
    sources: Sequence[Source],
    starts: Sequence[int],
    model: Model,
    pieces: Pieces,
    dtype: str,
    batch: int,
    workers: int,
    visibility: bool,
) -> Iterator[list[torch.Tensor | str]]:
    """Write the pieces at `starts`; yield each batch when its features are computed."""
    skip_broken = bool(pieces.configuration["skip_broken"])
    listed = bool(pieces.configuration["dataset"])
    to_read = [source for start in starts for source in _piece(sources, start)]
    read = _read_ahead(to_read, model, workers, skip_broken, listed)
    with contextlib.closing(read):
        for start in starts:
            some = _piece(sources, start)
            count = len(some)
            width = sum((model.parts_with_visibility if visibility else model.parts).values())
            features = np.zeros((count, width), TYPES[dtype])
            reasons: list[str] = []
            for first in range(0, count, batch):
                group = list(itertools.islice(read, min(batch, count - first)))
                rows = [first + n for n, image in enumerate(group) if isinstance(image, torch.Tensor)]
                decoded = [image for image in group if isinstance(image, torch.Tensor)]
                if decoded:
                    computed = model.features(torch.stack(decoded), visibility).numpy()  # (n, D)
                    _check_finite(computed, [some[row] for row in rows])
                    features[rows] = computed
                reasons += [one if isinstance(one, str) else "" for one in group]
                yield group
            pieces.write(str(start), features=features, reason=np.array(reasons, np.str_))


LEAVE_OUT = "leave it out: --skip-broken."  # the remedy for an image of a folder


def _check_finite(features: np.ndarray, sources: Sequence[Source]) -> None:
    broken = np.flatnonzero(~np.isfinite(features).all(1))
    if len(broken):
        raise TrainingError(
            f"The feature of {sources[broken[0]].key} is not a number (NaN). The network did not train properly; "
            "use another model, or train again: dsa-train run."
        )


def _read_ahead(
    sources: Sequence[Source], model: Model, workers: int, skip_broken: bool, listed: bool
) -> Generator[torch.Tensor | str, None, None]:
    """Yield each image, uint8 (height, width, 3) of the network's size, or the reason why it cannot be read."""

    def read(source: Source) -> torch.Tensor | str:
        try:
            return model.preprocessing.resize(torch.from_numpy(_decode(source, listed)))
        except ImageError as error:
            if not skip_broken:
                raise
            return str(error)

    yield from read_ahead(read, sources, workers, AHEAD)


def _decode(source: Source, listed: bool) -> np.ndarray:
    """Return an image, uint8 (H, W, 3). `listed`: in a manifest, which is to be written again for another image."""
    data = images.read_bytes(source.path, images.LISTED if listed else LEAVE_OUT)
    if hashlib.sha256(data).hexdigest() != source.digest:
        remedy = "List again: dsa-data prepare." if listed else "Run again when nothing writes into the folder."
        raise ImageError(f"{source.path} has changed since it was listed (its SHA-256 differs). {remedy}")
    return images.decode(data, source.path, images.REMOVE if listed else f"remove it, or {LEAVE_OUT}")


def _piece(sources: Sequence[Source], start: int) -> Sequence[Source]:
    return sources[start : start + PIECE]


def _kept_rows(pieces: Pieces, start: int) -> np.ndarray:
    piece = pieces.read(str(start))
    return np.asarray(piece["features"][piece["reason"] == ""])


def _plain(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the preprocessing as JSON would give it back, so that it compares equal."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(preprocessing).items()
    }


class _Opener:
    """Opens a file of features; with `check` every row is checked, so that --overwrite makes damaged ones again."""

    remedy = feature_files.REMEDY

    def __init__(self, check: bool) -> None:
        self.check = check

    def __call__(self, path: Path) -> feature_files.FeatureFile:
        features = feature_files.open_features(path)
        if self.check:
            features.check()
        return features


def _is_done(out: Path, header: Header, overwrite: bool) -> bool:
    """Return whether `out` holds exactly these features, by the policy of all stores (`stores.reuse`).

    Raises:
        StoreError: if `out` holds others, or is damaged, and may not be replaced.
        BusyError: if another program has it open for writing.
    """
    if not out.exists() and not overwrite:
        feature_files.check_neighbours(out)
    remedy = "Replace it with --overwrite, or write to another file: --out."
    present = open_reusable(out, _Opener(check=overwrite), header, remedy, overwrite, whole=True)
    if present is None:
        return False
    present.close()
    return True


def skipped_file(out: Path) -> Path:
    """Return the file that lists the images that were left out."""
    return out.with_name(out.name + ".skipped.csv")


def _write_skipped(out: Path, skipped: Sequence[tuple[str, str]]) -> None:
    path = skipped_file(out)
    if skipped:
        with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("key", "reason"), *skipped])
    else:
        path.unlink(missing_ok=True)


def _read_skipped(out: Path) -> list[tuple[str, str]]:
    path = skipped_file(out)
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(line[0], line[1]) for line in list(csv.reader(file))[1:]]
