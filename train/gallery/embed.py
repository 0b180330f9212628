"""Features of a dataset or of a folder of pictures, written to a file; killed at any moment it goes on."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import itertools
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dsa_app.config import setting_changes
from dsa_app.console import progress
from dsa_app.errors import DatasetError, ImageError, StoreError, TrainingError
from dsa_data import images
from dsa_data.records import Record
from dsa_data.stores.features import TYPES, Origin
from dsa_data.stores.header import Header, digest_of
from dsa_data.stores.pieces import Pieces
from dsa_reid.model import Model
from dsa_reid.preprocessing import Preprocessing
from dsa_reid.read_ahead import read_ahead

from . import feature_files

PIECE = 512  # pictures in a piece: what is lost at most when a run is killed
AHEAD = 256  # pictures read ahead of the network


@dataclasses.dataclass(frozen=True)
class Source:
    """A picture to embed: its key under a root, its file, and the SHA-256 of its bytes; empty if it cannot be read."""

    key: str
    path: Path
    digest: str


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What was written, and what could not be: (key, reason) of every picture that was left out."""

    path: Path
    count: int
    skipped: list[tuple[str, str]]


def in_folder(root: Path, workers: int = 1) -> list[Source]:
    """Find all pictures under a folder, sorted by key. Raises DatasetError if there is none."""
    paths = {path.relative_to(root).as_posix(): path for path in root.rglob("*") if images.is_image(path)}
    keys = sorted(key for key, path in paths.items() if not path.is_dir())
    if not keys:
        raise DatasetError(f"{root} holds no picture ({', '.join(sorted(images.SUFFIXES))}). Name another folder.")
    with ThreadPoolExecutor(workers) as pool:
        digests = list(pool.map(lambda key: _digest(paths[key]), keys))
    return [Source(key, paths[key], digest) for key, digest in zip(keys, digests, strict=True)]


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(images.read_bytes(path)).hexdigest()
    except ImageError:
        return ""  # whoever wants its pixels is told why


def in_dataset(root: Path, records: Sequence[Record]) -> list[Source]:
    """Return the pictures of a manifest's records."""
    return [Source(record.key, root / record.key, record.digest) for record in records]


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
) -> Embedded:
    """Write the features of pictures to a file, going on with what an interrupted run left.

    Args:
        sources: the pictures, in the order of the rows.
        out: .h5, or .npy for one with a .csv and a .json beside it.
        dataset: the name that the file keeps; empty for a folder.
        dtype: "float32" or "float16".
        batch: pictures at once; does not change the file but for rounding.
        workers: threads that read ahead of the network.
        skip_broken: leave out what cannot be read, listing it in `<out>.skipped.csv`; else stop with its name.
        overwrite: replace features of other pictures, another model or other settings.

    Raises:
        ImageError: for a picture that cannot be read.
        StoreError: if `out` is there with other content, or pieces of a run with other settings are.
        TrainingError: if a feature is not a number.
    """
    origin = Origin(model.digest, _plain(model.preprocessing), model.parts)
    configuration = {"origin": dataclasses.asdict(origin), "type": dtype, "skip_broken": skip_broken}
    header = Header(dataset, configuration, digest_of(f"{source.key} {source.digest}" for source in sources))
    if not overwrite and _is_done(out, header):
        skipped = _read_skipped(out)
        return Embedded(out, len(sources) - len(skipped), skipped)
    with Pieces(out, {"dataset": dataset, "inputs": header.inputs, **configuration}, overwrite) as pieces:
        starts = range(0, len(sources), PIECE)
        todo = [start for start in starts if not pieces.has(str(start))]
        left = sum(len(sources[start : start + PIECE]) for start in todo)
        for _ in progress(_compute(sources, todo, model, pieces, dtype, batch, workers), left, "Embedding", each=0):
            pass
        reasons = [str(reason) for start in starts for reason in pieces.read(str(start))["reason"]]
        skipped = [(source.key, reason) for source, reason in zip(sources, reasons, strict=True) if reason]
        kept = [source for source, reason in zip(sources, reasons, strict=True) if not reason]
        if not kept:
            raise DatasetError(f"None of {len(sources)} pictures can be read. The first: {reasons[0]}")
        _write_skipped(out, skipped)
        keys, digests = [source.key for source in kept], [source.digest for source in kept]
        shape, blocks = (len(kept), model.dimensions), (_kept_rows(pieces, start) for start in starts)
        pieces.assemble(lambda part: feature_files.write(part, out, header, keys, digests, shape, blocks))
    return Embedded(out, len(kept), skipped)


def _compute(
    sources: Sequence[Source], starts: Sequence[int], model: Model, pieces: Pieces, dtype: str, batch: int, workers: int
) -> Iterator[list[torch.Tensor | str]]:
    """Make the pieces at `starts`; yield each batch when its features are there."""
    skip_broken = bool(pieces.configuration["skip_broken"])
    pictures = _read_ahead(
        [source for start in starts for source in _piece(sources, start)], model, workers, skip_broken
    )
    with contextlib.closing(pictures):
        for start in starts:
            some = _piece(sources, start)
            count = len(some)
            features = np.zeros((count, model.dimensions), TYPES[dtype])
            reasons: list[str] = []
            for first in range(0, count, batch):
                group = list(itertools.islice(pictures, min(batch, count - first)))
                places = [first + n for n, one in enumerate(group) if isinstance(one, torch.Tensor)]
                read = [one for one in group if isinstance(one, torch.Tensor)]
                if read:
                    found = model.features(torch.stack(read)).numpy()
                    _check_finite(found, [some[place] for place in places])
                    features[places] = found
                reasons += [one if isinstance(one, str) else "" for one in group]
                yield group
            pieces.write(str(start), features=features, reason=np.array(reasons, np.str_))


def _check_finite(features: np.ndarray, sources: Sequence[Source]) -> None:
    broken = np.flatnonzero(~np.isfinite(features).all(1))
    if len(broken):
        raise TrainingError(
            f"The feature of {sources[broken[0]].key} is not a number. The network did not train properly; "
            "name another model, or train again: dsa-train run."
        )


def _read_ahead(
    sources: Sequence[Source], model: Model, workers: int, skip_broken: bool
) -> Generator[torch.Tensor | str, None, None]:
    """Yield each picture, uint8 (height, width, 3) of the network's size, or why it cannot be read."""

    def read(source: Source) -> torch.Tensor | str:
        try:
            return model.preprocessing.resize(torch.from_numpy(_decode(source)))
        except ImageError as error:
            if not skip_broken:
                raise
            return str(error)

    yield from read_ahead(read, sources, workers, AHEAD)


def _decode(source: Source) -> np.ndarray:
    data = images.read_bytes(source.path)
    if hashlib.sha256(data).hexdigest() != source.digest:
        raise ImageError(f"{source.path} is another file than was listed. List again: dsa-data prepare.")
    return images.decode(data, source.path)


def _piece(sources: Sequence[Source], start: int) -> Sequence[Source]:
    return sources[start : start + PIECE]


def _kept_rows(pieces: Pieces, start: int) -> np.ndarray:
    piece = pieces.read(str(start))
    return piece["features"][piece["reason"] == ""]


def _plain(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return the preprocessing as JSON would give it back, so that it compares equal."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(preprocessing).items()
    }


def _is_done(out: Path, header: Header) -> bool:
    """Tell whether `out` holds just these features already. Raises StoreError if it holds others."""
    if not out.exists():
        feature_files.check_neighbours(out)
        return False
    present = feature_files.open_features(out).header
    if present == header:
        return True
    raise StoreError(
        f"{out} holds other features: {setting_changes(dataclasses.asdict(present), dataclasses.asdict(header))}.\n"
        "Replace them with --overwrite, or name another --out."
    )


def skipped_file(out: Path) -> Path:
    """Return where the pictures that were left out are listed."""
    return out.with_name(out.name + ".skipped.csv")


def _write_skipped(out: Path, skipped: Sequence[tuple[str, str]]) -> None:
    path = skipped_file(out)
    path.unlink(missing_ok=True)
    if skipped:
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("key", "reason"), *skipped])


def _read_skipped(out: Path) -> list[tuple[str, str]]:
    path = skipped_file(out)
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [(line[0], line[1]) for line in list(csv.reader(file))[1:]]
