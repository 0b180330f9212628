"""The `import` engine: IUV pictures made elsewhere, `*_IUV.png`, in either channel order.

DensePose's own tools save I, U, V with OpenCV, so that the chart is the last channel when read as RGB; others
save them as RGB. U is in the middle either way. The chart never exceeds 24, V nearly always does somewhere: that
tells the two apart, picture by picture. Where one does not tell, the others of its folder do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np

from dsa_app.console import progress
from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.charts import CHARTS
from dsa_data.records import Record

from .maps import SUFFIX, MapFile, Order, map_name

GROUP = 64  # maps looked at in one go
ORDERS: dict[Order, int] = {"rgb": 0, "bgr": 2}  # where the chart is, read as RGB


@dataclass(frozen=True)
class Look:
    """What an IUV picture tells: the SHA-256 of its bytes, the orders that it allows, whether nobody is in it."""

    path: Path
    digest: str
    orders: frozenset[Order]
    empty: bool


class Imported:
    """The maps in a folder, found for each record by its path, or by its name alone if that is unique.

    Attributes:
        missing: how many pictures have no map.
    """

    name = "import"

    def __init__(
        self,
        folder: Path,
        records: Sequence[Record],
        channels: Literal["auto", "rgb", "bgr"] = "auto",
        allow_missing: bool = False,
        jobs: int = 1,
    ) -> None:
        """Find the maps of `records` below `folder`, and the order of each.

        Args:
            channels: the order of all of them, or auto.
            allow_missing: answer that nobody was found in a picture without a map.

        Raises ImageError for a map that is missing, that two pictures claim, or whose order cannot be told.
        """
        self.channels = channels
        paths = match(folder, [record.key for record in records])
        missing = [record.key for record in records if record.key not in paths]
        self.missing = len(missing)
        if missing and not allow_missing:
            raise ImageError(
                f"{folder} holds no map of {len(missing)} of {len(records)} pictures, first {missing[0]}: expected "
                f"{map_name(missing[0])}. Add them, or say --allow-missing to count them as nobody found."
            )
        looks = survey(list(paths.values()), jobs)
        orders = agree(looks) if channels == "auto" else [channels] * len(looks)
        self._files = {
            key: MapFile(look.path, f"{look.digest} {order}", order)
            for key, look, order in zip(paths, looks, orders, strict=True)
        }

    @property
    def identity(self) -> dict[str, Any]:
        """Return the engine's name: the order of a map counts as part of its file."""
        return {"engine": self.name}

    def find(self, record: Record) -> MapFile:
        """Return the file of a record's map. Nothing in it tells a score."""
        return self._files.get(record.key, MapFile(None, "missing"))


def match(folder: Path, keys: Sequence[str]) -> dict[str, Path]:
    """Return the map of each key that has one: at the same path below `folder`, else of the same name anywhere in it.

    Raises ImageError if two maps fit one key, or one map two keys.
    """
    if not folder.is_dir():
        raise ImageError(f"{folder} is no folder. Name the one that holds the *{SUFFIX} files: --from DIR.")
    there = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob(f"*{SUFFIX}"))}
    by_name: dict[str, list[Path]] = {}
    for path in there.values():
        by_name.setdefault(path.name, []).append(path)
    found: dict[str, Path] = {}
    claims: dict[Path, str] = {}
    for key in keys:
        name = map_name(key)
        fitting = [there[name]] if name in there else by_name.get(Path(name).name, [])
        if len(fitting) > 1:
            raise ImageError(f"{fitting[0]} and {fitting[1]} both fit {key}. Put its own at {folder / name}.")
        for path in fitting:
            if path in claims:
                raise ImageError(f"{path} fits {claims[path]} and {key}. Give each its own, at the same path.")
            found[key], claims[path] = path, key
    return found


def survey(paths: Sequence[Path], jobs: int = 1) -> list[Look]:
    """Look at every map once."""
    groups = [paths[start : start + GROUP] for start in range(0, len(paths), GROUP)]
    work: Callable[..., list[Look]] = joblib.delayed(_look_at_group)
    done: Iterable[list[Look]] = joblib.Parallel(n_jobs=jobs, return_as="generator")(work(group) for group in groups)
    return [look for group in progress(done, len(paths), "looking at maps", "maps", each=0) for look in group]


def _look_at_group(paths: Sequence[Path]) -> list[Look]:
    return [look_at(path) for path in paths]


def look_at(path: Path) -> Look:
    """Tell what an IUV picture tells by itself. Raises ImageError if it does not decode."""
    data = images.read_bytes(path)
    picture = images.decode(data, path)
    images.check_eight_bits(data, path)
    largest = picture.reshape(-1, 3).max(axis=0)
    orders = frozenset(order for order, channel in ORDERS.items() if largest[channel] <= CHARTS)
    return Look(path, hashlib.sha256(data).hexdigest(), orders, empty=not np.any(largest[[0, 2]]))


def agree(looks: Sequence[Look]) -> list[Order]:
    """Return the order of each map: its own, or where it allows both, that of the others in its folder.

    Raises ImageError for a map that allows none, and for one that allows both if the others tell nothing or differ.
    """
    told: dict[Path, set[Order]] = {}
    for look in looks:
        if len(look.orders) == 1:
            told.setdefault(look.path.parent, set()).update(look.orders)
    return [_order(look, told.get(look.path.parent, set())) for look in looks]


def _order(look: Look, neighbours: set[Order]) -> Order:
    if look.empty:
        return "rgb"  # nobody is in it either way
    if not look.orders:
        raise ImageError(
            f"{look.path}: neither the first nor the last channel stays within 0..{CHARTS}, as a chart does. "
            "It is no IUV picture; replace it, or take it away."
        )
    possible = look.orders if len(look.orders) == 1 else neighbours
    if len(possible) != 1:
        raise ImageError(
            f"{look.path}: the first and the last channel both stay within 0..{CHARTS}, and the other maps of its "
            f"folder {'are in both orders' if possible else 'do not tell either'}. "
            "Say where the chart is when read as RGB: --channels rgb if first, --channels bgr if last."
        )
    return next(iter(possible))
