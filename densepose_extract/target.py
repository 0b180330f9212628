"""The images that stage one works on, and the paths of its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from dsa_app.console import artifacts, default_dataset
from dsa_app.errors import ConfigError, DatasetError, DsaError
from dsa_data import records, sets
from dsa_data.records import Entry
from dsa_data.walk import images_below, is_map

STORE = "--out FILE to write it (run, import), --iuv FILE to read it (show, stats)"
SPLIT = "all"  # of images in a folder that is not a dataset


@dataclass(frozen=True)
class Target:
    """The images of a dataset or of any folder, with their manifest and their store of maps.

    Attributes:
        dataset: a name of `dsa_data.sets`, or that of the folder.
        root: the folder of the images.
        manifest: the list of the images.
        store: the HDF5 file of their maps.
        unlabelled: whether the folder is not a dataset, so that identities and cameras are unknown.
    """

    dataset: str
    root: Path
    manifest: Path
    store: Path
    unlabelled: bool = False

    @classmethod
    def choose(
        cls,
        dataset: str | None,
        pictures: Path | None,
        root: Path | None = None,
        manifest: Path | None = None,
        store: Path | None = None,
    ) -> Target:
        """Return a dataset's images, or those of the folder `pictures`, with default paths where none is given.

        Raises ConfigError if neither is named, or if a folder is named without a store.
        """
        if pictures:
            if store is None:
                raise ConfigError(
                    f"--pictures {pictures} needs the path of its store of maps, as in DIR/iuv.h5: {STORE}."
                )
            name = dataset or pictures.resolve().name
            return cls(name, pictures, manifest or store.with_name("manifest.csv"), store, unlabelled=True)
        dataset = dataset or default_dataset()
        folder = artifacts(dataset)
        root = root or sets.dataset_root(dataset)
        return cls(dataset, root, manifest or folder / "manifest.csv", store or folder / "iuv.h5")

    def list_images(self, jobs: int = 1) -> None:
        """Write the manifest: of a folder every time, of a dataset only if it does not exist.

        Raises DatasetError or ImageError, see `records.index`.
        """
        if self.manifest.exists() and not self.unlabelled:
            return
        entries = folder_entries(self.root) if self.unlabelled else sets.scan(self.dataset, self.root)
        listed = records.index(self.root, entries, jobs)
        records.write_manifest(listed, self.manifest)
        click.echo(f"{self.manifest}: {len(listed)} images of {self.root}")


def known_root(dataset: str) -> Path | None:
    """Return the folder of a dataset; None if it is not there, or if the name is that of any other folder."""
    try:
        root = sets.dataset_root(dataset)
    except DsaError:
        return None
    return root if root.is_dir() else None


def folder_entries(folder: Path) -> list[Entry]:
    """Return the images below a folder, without the I, U, V maps beside them: split "all", identity 0, camera 0."""
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder. Name a folder of images: --pictures DIR.")
    return [Entry(key, SPLIT, 0, 0) for key in images_below(folder) if not is_map(key)]
