"""A tiny dataset in Market-1501's layout, with manifest and DSAP, made up of coloured noise."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dsa_app.config import build, to_dict
from dsa_data.images import write_png
from dsa_data.records import Entry, index, read_manifest, write_manifest
from dsa_data.stores.dsap import DsapStore, pack, write_dsap
from dsa_data.stores.header import Header
from dsa_train import stage
from dsa_train.cli import main
from dsa_train.config import TrainConfig
from dsap.config import WarpConfig
from thin import write_images, write_model

SIZE = 8  # S


@dataclasses.dataclass(frozen=True)
class Tiny:
    """Where the tiny dataset lies."""

    root: Path
    manifest: Path
    dsap: Path

    def records(self, *splits):
        return read_manifest(self.manifest, splits)

    def store(self):
        return DsapStore(self.dsap)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Tiny:
    """Six training identities with 2 to 5 pictures, four others with a query and three gallery pictures."""
    root = tmp_path_factory.mktemp("tiny")
    generator = np.random.default_rng(0)
    entries = []
    for pid, count in enumerate([2, 3, 4, 4, 5, 4], start=11):
        entries += [
            Entry(f"bounding_box_train/{pid:04}_c{n % 3 + 1}s1_{n:06}_00.png", "train", pid, n % 3 + 1)
            for n in range(count)
        ]
    for pid in range(31, 35):
        entries.append(Entry(f"query/{pid:04}_c1s1_000000_00.png", "query", pid, 1))
        entries += [
            Entry(f"bounding_box_test/{pid:04}_c{n % 3 + 1}s1_{n:06}_00.png", "gallery", pid, n % 3 + 1)
            for n in range(1, 4)
        ]
    colours = {entry.pid: np.random.default_rng(entry.pid).integers(40, 215, 3) for entry in entries}
    for entry in entries:
        height, width = generator.integers(50, 80), generator.integers(24, 40)
        noise = generator.integers(-40, 40, (height, width, 3))
        write_png(root / entry.key, (colours[entry.pid] + noise).astype(np.uint8))
    records = index(root, entries)
    manifest = write_manifest(records, root / "manifest.csv")
    chunks, train = [], [record for record in records if record.split == "train"]
    for record in records:
        valid = generator.random((24, SIZE, SIZE)) < 0.6
        noise = generator.integers(-40, 40, (24, SIZE, SIZE, 3))
        texels = (colours[record.pid] + noise).astype(np.uint8) * valid[..., None]
        charts = np.zeros((record.height, record.width), np.uint8)
        charts[5:-5, 5:-5] = np.arange(record.height - 10)[:, None] * 24 // (record.height - 10) + 1
        if record is train[3]:
            charts[:] = 255  # no person was detected in this one
        chunks.append(pack(texels, valid, charts, record.digest, "0" * 64))
    header = Header("tiny", {"warp": to_dict(WarpConfig(size=SIZE))}, "made up")
    return Tiny(root, manifest, write_dsap(root / "dsap.h5", header, SIZE, [r.key for r in records], chunks))


@pytest.fixture(scope="session")
def small():
    """Make a configuration that trains in a second: three identities with two pictures, a thin ResNet-18."""

    def make(**changes) -> TrainConfig:
        network = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8}
        values = {"height": 64, "width": 32, "identities": 3, "pictures": 2, "epochs": 2, "network": network}
        return build(TrainConfig, {**values, **changes}, "test")

    return make


@pytest.fixture
def train(tiny, small):
    """Train on the tiny dataset into a folder; settings by name."""

    def run(out: Path, overwrite: bool = False, **changes) -> Path:
        return stage.run(tiny.manifest, tiny.root, tiny.dsap, out, small(**changes), overwrite=overwrite)

    return run


@pytest.fixture(scope="session")
def run():
    """Run a command of dsa-train, its arguments one by one; return its result."""

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)

    return invoke


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.pt")


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    return write_images(tmp_path / "pictures")
