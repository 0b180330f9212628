"""Which pictures stage one works on, and where what it makes goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from dsa_app.console import artifacts
from dsa_app.errors import ConfigError, DatasetError
from dsa_data import records, sets
from dsa_data.images import is_image
from dsa_data.records import Entry

from .engines.maps import SUFFIX

SPLIT = "all"  # of pictures that belong to no dataset


@dataclass(frozen=True)
class Target:
    """A dataset's pictures, or any folder's, with their manifest and their store of maps.

    Attributes:
        dataset: a name of `dsa_data.sets`, or that of the folder.
        free: whether the pictures belong to no dataset: nobody knows who is in them.
    """

    dataset: str
    root: Path
    manifest: Path
    store: Path
    free: bool = False

    @classmethod
    def choose(
        cls,
        dataset: str | None,
        pictures: Path | None,
        root: Path | None = None,
        manifest: Path | None = None,
        store: Path | None = None,
    ) -> Target:
        """Return a dataset's pictures, or those of the folder `pictures`; what is not given is where it is by default.

        Raises ConfigError if neither is named, or a folder without a place for its store.
        """
        if pictures:
            if store is None:
                raise ConfigError(f"Where are the maps of {pictures} to be? Say the store: DIR/iuv.h5.")
            name = dataset or pictures.resolve().name
            return cls(name, pictures, manifest or store.with_name("manifest.csv"), store, free=True)
        if dataset is None:
            raise ConfigError("No dataset was named. Say --dataset market1501, or --pictures DIR.")
        folder = artifacts(dataset)
        place = root or sets.dataset_root(dataset)
        return cls(dataset, place, manifest or folder / "manifest.csv", store or folder / "iuv.h5")

    def list_pictures(self, jobs: int = 1) -> None:
        """Write the manifest: of a folder anew each time, of a dataset where it is missing.

        Raises DatasetError or ImageError, see `records.index`.
        """
        if self.manifest.exists() and not self.free:
            return
        entries = free_entries(self.root) if self.free else sets.scan(self.dataset, self.root)
        found = records.index(self.root, entries, jobs)
        records.write_manifest(found, self.manifest)
        click.echo(f"{self.manifest}: {len(found)} pictures of {self.root}")


def free_entries(folder: Path) -> list[Entry]:
    """List the pictures below a folder, IUV pictures left out: split "all", identity 0, camera 0."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is no folder. Name one that holds pictures.")
    paths = sorted(path for path in folder.rglob("*") if is_image(path) and not path.name.endswith(SUFFIX))
    return [Entry(path.relative_to(folder).as_posix(), SPLIT, 0, 0) for path in paths]
