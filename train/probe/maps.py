"""Feature maps of a frozen trunk at strides 16 and 8, computed once and kept in files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dsa_app.console import progress
from dsa_app.errors import TrainingError
from dsa_reid.atomic import write_atomic
from dsa_reid.config import COARSE, FINE
from dsa_reid.errors import ModelError
from dsa_reid.main_stream import Trunk
from dsa_reid.osnet import OsNet
from dsa_reid.timm_trunk import TimmTrunk

from ..batches.dataset import Images

CHUNK = 1024  # images in a file
SAMPLE = 512  # training images of which the principal components are
LARGEST = float(np.finfo(np.float16).max)
Maps = dict[int, torch.Tensor]  # by stride, (B, C, h, w)


class Levels(torch.nn.Module):
    """A trunk that returns its maps at stride 16 and, where it has one, stride 8.

    Attributes:
        strides: of its maps, the coarsest first.
    """

    def __init__(self, trunk: Trunk | OsNet | TimmTrunk) -> None:
        super().__init__()
        self.trunk, self.strides = trunk, [COARSE, FINE]
        if isinstance(trunk, TimmTrunk):
            self.trunk, self.strides = _with_every_level(trunk)
        self.eval()

    @torch.inference_mode()
    def forward(self, images: torch.Tensor) -> Maps:
        """Map normalised images (B, 3, H, W) to their maps by stride."""
        return self.trunk.levels(images)


def _with_every_level(trunk: TimmTrunk) -> tuple[TimmTrunk, list[int]]:
    """Return a timm trunk with the same weights that has a map at stride 8 too, if the model has one."""
    if trunk.options.any:
        return trunk, [COARSE]
    try:
        both = TimmTrunk(trunk.name, trunk.size, two_levels=True)
    except ModelError:  # a ViT
        return trunk, [COARSE]
    both.body.load_state_dict(trunk.body.state_dict())
    return both, [COARSE, FINE]


@dataclasses.dataclass(frozen=True)
class Chunk:
    """The maps of some images.

    Attributes:
        images: which of the N images.
        maps: by stride, float32 (n, C, h, w).
    """

    images: slice
    maps: Maps

    def __len__(self) -> int:
        return int(self.images.stop - self.images.start)


@dataclasses.dataclass(frozen=True)
class KeptMaps:
    """The maps of N images, in files of `CHUNK` images.

    Attributes:
        folder: of the files; its name is the digest of what the maps were computed from.
        count: N.
        strides: of the maps.
    """

    folder: Path
    count: int
    strides: Sequence[int]

    def chunks(self) -> Iterator[Chunk]:
        """Yield the maps of the images, file after file."""
        for start in range(0, self.count, CHUNK):
            read = {stride: np.load(self.file(stride, start), allow_pickle=False) for stride in self.strides}
            maps = {stride: torch.from_numpy(one).float() for stride, one in read.items()}
            yield Chunk(slice(start, min(start + CHUNK, self.count)), maps)

    def shape(self, stride: int) -> tuple[int, tuple[int, int]]:
        """Return the channels and the grid (h, w) of the maps at a stride."""
        _, channels, h, w = np.load(self.file(stride, 0), mmap_mode="r", allow_pickle=False).shape
        return channels, (h, w)

    def file(self, stride: int, start: int) -> Path:
        """Return the file of the images from index `start` on."""
        return self.folder / f"stride-{stride}-{start:07}.npy"


def keep_maps(
    levels: Levels, images: Images, training: Sequence[int], channels: int, batch: int, folder: Path, workers: int
) -> KeptMaps:
    """Return the maps of images, from the files in `folder` or computed; files that are there are not made again.

    Maps with more than `channels` channels are projected on the principal components of training images, which use no
    identity and no map of a body.

    Args:
        images: N images.
        training: indices of the training images.
        batch: images that go through the trunk together.
        folder: in which there is a folder for every trunk, preprocessing and set of images.

    Raises:
        TrainingError: if a map is not a number.
        ImageError: for an image that cannot be read.
    """
    kept = KeptMaps(folder / _digest(levels, images, channels)[:16], len(images), levels.strides)
    starts = [start for start in range(0, len(images), CHUNK) if not _whole(kept, start)]
    if not starts:
        return kept
    kept.folder.mkdir(parents=True, exist_ok=True)
    components = _components(levels, images, training, channels, batch, workers)
    pieces = [range(start, min(start + CHUNK, len(images))) for start in starts]
    for piece in progress(pieces, sum(map(len, pieces)), "Feature maps", each=0):
        found: dict[int, list[NDArray[np.float16]]] = {stride: [] for stride in levels.strides}
        for maps in _maps(levels, images, piece, batch, workers):
            for stride, one in maps.items():
                found[stride].append(_reduced(one, components.get(stride)).clamp(-LARGEST, LARGEST).half().numpy())
        for stride, parts in found.items():
            made = io.BytesIO()
            np.save(made, np.concatenate(parts), allow_pickle=False)
            write_atomic(kept.file(stride, piece[0]), made.getbuffer())
    return kept


def _whole(kept: KeptMaps, start: int) -> bool:
    """Return whether the files of a piece are there, with maps of all of its images."""
    for stride in kept.strides:
        try:
            maps = np.load(kept.file(stride, start), mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return False
        if maps.ndim != 4 or maps.dtype != np.float16 or len(maps) != min(CHUNK, kept.count - start):
            return False
    return True


def _digest(levels: Levels, images: Images, channels: int) -> str:
    """Return the SHA-256 of all that the maps are computed from."""
    digest = hashlib.sha256(f"{dataclasses.asdict(images.preprocessing)} {channels} {levels.strides}".encode())
    for name, value in sorted(levels.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    for record in images.records:
        digest.update(f"{record.key} {record.digest}\n".encode())
    return digest.hexdigest()


def _maps(levels: Levels, images: Images, indices: Sequence[int], batch: int, workers: int) -> Iterator[Maps]:
    """Yield the maps of images, on the CPU, batch after batch. Raises TrainingError for maps that are not numbers."""
    device = next(levels.parameters()).device
    order = [indices[start : start + batch] for start in range(0, len(indices), batch)]
    for chosen, read in zip(order, images.batches(order, workers), strict=True):
        maps = {
            stride: one.float().cpu()
            for stride, one in levels(images.preprocessing.normalise(read.images.to(device))).items()
        }
        if not all(one.isfinite().all() for one in maps.values()):
            raise TrainingError(
                f"The feature maps of {images.records[chosen[0]].key} or of the {len(chosen) - 1} images after it are "
                "not numbers (NaN). The trunk's weights are damaged, or its training failed. Use another --run."
            )
        yield maps


def _components(
    levels: Levels, images: Images, training: Sequence[int], channels: int, batch: int, workers: int
) -> dict[int, torch.Tensor]:
    """Return the principal components of maps with too many channels, by stride: float32 (channels, C)."""
    spread = np.linspace(0, len(training) - 1, min(SAMPLE, len(training))).astype(int)
    squares: dict[int, torch.Tensor] = {}
    for maps in _maps(levels, images, [training[n] for n in spread], batch, workers):
        for stride, one in maps.items():
            if one.shape[1] > channels:
                cells = one.flatten(2).transpose(1, 2).flatten(0, 1).double()  # (B h w, C)
                squares[stride] = squares.get(stride, torch.zeros((), dtype=torch.float64)) + cells.T @ cells
    return {stride: torch.linalg.eigh(square)[1][:, -channels:].T.float() for stride, square in squares.items()}


def _reduced(maps: torch.Tensor, components: torch.Tensor | None) -> torch.Tensor:
    return maps if components is None else torch.einsum("kc,bchw->bkhw", components, maps)
