"""The `import` engine: maps made elsewhere, `*_IUV.png` and others (`map_files`), in either channel order.

DensePose's own tools save I, U, V with OpenCV, so that the chart is the last channel when the file is read as RGB;
other tools save them as RGB. U is in the middle either way. The chart never exceeds 24, and V nearly always does
somewhere: this decides the order of each map on its own. Where both outer channels stay within 24, the other maps of
the folder decide.
"""

from __future__ import annotations

import hashlib
import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np

from dsa_app.console import progress
from dsa_app.errors import ImageError
from dsa_app.parallel import carry_out
from dsa_data import images, walk
from dsa_data.charts import CHARTS
from dsa_data.records import Record
from dsa_data.stores.iuv import Confidence

from .engine import identity_of_content
from .map_files import ENDINGS, SUFFIX, PackedValues, map_name, stem_of, stems_for
from .maps import FoundMaps, MapFile, Order, decode
from .part_masks import mask_stems
from .score_file import Scores

GROUP = 64  # maps that a process inspects between two reports of progress
MEMORY = 512 * 2**20  # bytes of decoded, compressed maps that are kept; maps beyond them are decoded a second time
CHART_CHANNEL: dict[Order, int] = {"rgb": 0, "bgr": 2}  # the channel that holds the chart in a file read as RGB


@dataclass(frozen=True)
class InspectedMap:
    """What the pixels of an IUV image show.

    Attributes:
        path: of the file.
        digest: SHA-256 of its bytes.
        orders: channel orders that its values allow.
        empty: whether it shows no person.
        fractions: whether u and v are fractions, or it is a part mask, so that the channels are I, U, V.
        kept: its content.
    """

    path: Path
    digest: str
    orders: frozenset[Order]
    empty: bool
    fractions: bool = False
    kept: PackedValues | None = None


class Imported(FoundMaps):
    """The maps in a folder. The map of a record has its path, or its file name if that is unique in the folder."""

    def __init__(
        self,
        folder: Path,
        records: Sequence[Record],
        channels: Literal["auto", "rgb", "bgr"] = "auto",
        allow_missing: bool = False,
        jobs: int = 1,
        bits: int = 8,
        mapping: Mapping[int, int] | None = None,
        scores: Scores | None = None,
    ) -> None:
        """Find the maps of `records` below `folder`, and the channel order of each.

        Args:
            channels: the order of all maps, or auto. Fractions are I, U, V in any case.
            allow_missing: count an image without a map as one in which no person was detected.
            jobs: processes that read the maps.
            bits: of a coordinate in the store. With 16 a map of bytes has the texels that it has with 8.
            mapping: charts of the labels, if the files are part masks: the store then has I alone.
            scores: of the maps, which their files do not hold.

        Raises ImageError for a map that is missing, that two images claim, or whose channel order is ambiguous.
        """
        super().__init__(bits if mapping is None else 0)
        self.channels, self.mapping, self.scores = channels, mapping, scores
        stems_in = _map_stems if mapping is None else mask_stems
        paths, self.unused = match_files(folder, [record.key for record in records], stems_in)
        missing = [record.key for record in records if record.key not in paths]
        mask = f"{Path(missing[0]).with_suffix('.png')}" if missing and mapping else ""
        self.refuse_missing(missing, len(records), allow_missing, folder, mask)
        inspected = inspect_maps(list(paths.values()), jobs, bits, mapping)
        orders = channel_orders(inspected) if channels == "auto" else _given(inspected, channels)
        for key, each, order in zip(paths, inspected, orders, strict=True):
            score, confidence = scores.of[key] if scores else (math.nan, math.nan)
            digest = f"{each.digest} {order}" + (f" {score!r} {confidence!r}" if scores else "")
            self._files[key] = MapFile(
                each.path, digest, order, score, self.bits, each.kept, confidence, mapping=mapping
            )

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name, what its maps hold, and the mapping of part masks.

        The channel order of a map and its score are part of its digest.
        """
        confidence: Confidence = "images" if self.scores and self.scores.confidences else "none"
        mapping = {"mapping": {str(label): chart for label, chart in sorted((self.mapping or {}).items())}}
        return {
            "engine": self.name,
            **identity_of_content(self.bits, confidence),
            **(mapping if self.mapping else {}),
        }


def match_files(
    folder: Path, keys: Sequence[str], stems_in: Callable[[Path], dict[str, str]] | None = None
) -> tuple[dict[str, Path], list[str]]:
    """Return the map of each key that has one, and the names of the maps that fit no key.

    A key's map has the same path below `folder`, else the same name anywhere in it, if that is unique; `map_files` has
    the names.

    Args:
        stems_in: returns the stem of every map below a folder, by its path; of I, U, V maps by default.

    Raises ImageError if two maps fit one key, or one map fits two keys.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is not a folder. Name the folder with the *{SUFFIX} files: --from DIR.")
    stems = (stems_in or _map_stems)(folder)
    by_path: dict[tuple[str, str], list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for name, stem in stems.items():
        by_path.setdefault((_parent(name), stem), []).append(name)
        by_stem.setdefault(stem, []).append(name)
    matched: dict[str, Path] = {}
    key_of: dict[str, str] = {}
    for key in keys:
        wanted = dict.fromkeys(stems_for(key))
        candidates = [name for stem in wanted for name in by_path.get((_parent(key), stem), [])]
        candidates = candidates or [name for stem in wanted for name in by_stem.get(stem, [])]
        if len(candidates) > 1:
            first, second = (folder / name for name in candidates[:2])
            own = folder / map_name(key)
            raise ImageError(f"{first} and {second} both fit {key}. Put its own map at {own}, or remove one.")
        for name in candidates:
            if name in key_of:
                raise ImageError(
                    f"{folder / name} fits both {key_of[name]} and {key}. Give each its own map, at the same path."
                )
            matched[key], key_of[name] = folder / name, key
    return matched, [name for name in stems if name not in key_of]


def has_maps(folder: Path) -> bool:
    """Return whether a folder has files of maps or masks."""
    return folder.is_dir() and any(Path(name).suffix.lower() in ENDINGS for name in walk.files_below(folder))


def _map_stems(folder: Path) -> dict[str, str]:
    """Return the stem of every map below a folder, by the map's path; `a.png` is a map where no file is a_IUV.png."""
    names = sorted(walk.files_below(folder))
    stems = {name: stem for name in names if (stem := stem_of(Path(name).name)) is not None}
    if stems:
        return stems
    if unread := [name for name in names if walk.is_map(name)]:
        raise ImageError(
            f"{folder / unread[0]}: maps are read from {', '.join(sorted(ENDINGS))} only, as JPEG changes "
            "charts. Save it as PNG."
        )
    plain = [Path(name) for name in names if Path(name).suffix.lower() in ENDINGS]
    return {path.as_posix(): unicodedata.normalize("NFC", path.stem) for path in plain}


def _parent(name: str) -> str:
    return unicodedata.normalize("NFC", Path(name).parent.as_posix())


def inspect_maps(
    paths: Sequence[Path], jobs: int = 1, bits: int = 8, mapping: Mapping[int, int] | None = None
) -> list[InspectedMap]:
    """Inspect every map once, in several processes; the contents of the first `MEMORY` bytes are kept."""
    groups = [paths[start : start + GROUP] for start in range(0, len(paths), GROUP)]
    inspect: Callable[..., list[InspectedMap]] = joblib.delayed(_inspect_group)
    done: Iterable[list[InspectedMap]] = carry_out((inspect(group, bits, mapping) for group in groups), jobs)
    inspected, memory = [], 0
    for group in progress(done, len(paths), "inspecting maps", "maps", each=0):
        for each in group:
            memory += len(each.kept.frame) if each.kept else 0
            inspected.append(each if memory <= MEMORY else replace(each, kept=None))
    return inspected


def _inspect_group(paths: Sequence[Path], bits: int, mapping: Mapping[int, int] | None) -> list[InspectedMap]:
    return [inspect_map(path, bits, mapping) for path in paths]


def inspect_map(path: Path, bits: int = 8, mapping: Mapping[int, int] | None = None) -> InspectedMap:
    """Return what the file of a map shows on its own, with its content. Raises ImageError as `decode_map`."""
    data = images.read_bytes(path)
    decoded = decode(data, path, mapping)
    largest = decoded.values.reshape(-1, 3).max(axis=0)
    orders = frozenset(order for order, channel in CHART_CHANNEL.items() if largest[channel] <= CHARTS)
    return InspectedMap(
        path,
        hashlib.sha256(data).hexdigest(),
        orders if decoded.fine is None and mapping is None else frozenset({"rgb"}),
        empty=not np.any(largest[[0, 2]]),
        fractions=decoded.fine is not None or mapping is not None,
        kept=decoded.packed(bits),
    )


def channel_orders(inspected: Sequence[InspectedMap]) -> list[Order]:
    """Return the channel order of each map: its own, or where its values allow both, that of the folder's other maps.

    Raises ImageError for a map that allows neither order, and for one that allows both in a folder of none or both.
    """
    orders_in: dict[Path, set[Order]] = {}
    for each in inspected:
        if len(each.orders) == 1:
            orders_in.setdefault(each.path.parent, set()).update(each.orders)
    return [_order(each, orders_in.get(each.path.parent, set())) for each in inspected]


def _given(inspected: Sequence[InspectedMap], channels: Order) -> list[Order]:
    """Return the order that was given, for all maps but those of fractions."""
    return ["rgb" if each.fractions else channels for each in inspected]


def _order(inspected: InspectedMap, of_folder: set[Order]) -> Order:
    if inspected.empty:
        return "rgb"  # all background: the order makes no difference
    if not inspected.orders:
        raise ImageError(
            f"{inspected.path} is not an IUV image: neither the first nor the last channel stays within 0..{CHARTS}, "
            "as a chart does. Replace it or remove it."
        )
    possible = inspected.orders if len(inspected.orders) == 1 else of_folder
    if len(possible) != 1:
        raise ImageError(
            f"{inspected.path}: the channel order is ambiguous. Both the first and the last channel stay within "
            f"0..{CHARTS}, and the other maps of the folder {'have both orders' if possible else 'are ambiguous too'}. "
            "Use --channels rgb if the chart is the first channel when the file is read as RGB, bgr if it is the last."
        )
    return next(iter(possible))
