"""Export: exactly the stored part images of the records."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from dsa_app.errors import BusyError, ConfigError, StoreError
from dsa_app.lock import locked
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsap.config import WarpConfig
from dsap.export import export
from dsap.stage import build
from dsap_cases import Case
from small_stores import as_version_1


@pytest.fixture
def store(case: Case) -> DsapStore:
    return DsapStore(build(case.manifest, case.iuv, case.out, WarpConfig(size=6), case.root))


def test_npy(case: Case, store: DsapStore, tmp_path: Path) -> None:
    records = read_manifest(case.manifest, ["query", "gallery"])
    for _ in range(2):  # an earlier export is replaced
        folder = export(store, records, tmp_path / "out" / "parts")
    texels, valid = np.load(folder / "texels.npy", mmap_mode="r"), np.load(folder / "valid.npy")
    assert read_manifest(folder / "records.csv") == records
    assert (texels.dtype, texels.shape) == (np.uint8, (len(records), 24, 6, 6, 3))
    assert (valid.dtype, valid.shape) == (bool, (len(records), 24, 6, 6))
    for row, record in enumerate(records):
        expected = store.read(store.index(record.key))
        assert (texels[row] == expected[0]).all()
        assert (valid[row] == expected[1]).all()
    assert [path.name for path in folder.parent.iterdir()] == ["parts"]
    charts, shapes = np.load(folder / "charts.npy", mmap_mode="r"), np.load(folder / "chart_shapes.npy")
    ends = shapes.prod(axis=1).cumsum()
    for record, shape, end in zip(records, shapes, ends, strict=True):
        expected = store.read_charts(store.index(record.key))
        assert (charts[end - expected.size : end].reshape(shape) == expected).all()
    assert ends[-1] == len(charts)


def test_a_store_of_version_1_is_exported_without_charts(case: Case, tmp_path: Path) -> None:
    records = read_manifest(case.manifest)
    old = DsapStore(as_version_1(build(case.manifest, case.iuv, case.out, WarpConfig(size=6), case.root)))
    folder = export(old, records, tmp_path / "parts")
    assert {path.name for path in folder.iterdir()} == {"texels.npy", "valid.npy", "records.csv"}


def test_parquet(case: Case, store: DsapStore, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    records = read_manifest(case.manifest)
    table = parquet.read_table(export(store, records, tmp_path / "parts.parquet"))
    assert table["key"].to_pylist() == [record.key for record in records]
    assert table["pid"].to_pylist() == [record.pid for record in records]
    assert set(table["size"].to_pylist()) == {6}
    first = store.read_charts(store.index(records[0].key))
    assert table["charts"][0].as_py() == first.tobytes()
    assert (table["chart_height"][0].as_py(), table["chart_width"][0].as_py()) == first.shape
    for row, record in enumerate(records):
        texels, valid = store.read(store.index(record.key))
        assert table["texels"][row].as_py() == texels.tobytes()
        bits = np.unpackbits(np.frombuffer(table["valid"][row].as_py(), np.uint8))
        assert (bits.reshape(24, 6, 6) == valid).all()
        assert table["count"][row].as_py() == valid.sum(axis=(1, 2)).tolist()


def test_without_pyarrow(case: Case, store: DsapStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"needs pyarrow\. Install it: .*pip install .*\[parquet\]"):
        export(store, read_manifest(case.manifest), tmp_path / "parts.parquet")


def test_a_store_that_lacks_an_image(case: Case, tmp_path: Path) -> None:
    path = build(case.manifest, case.iuv, case.out, WarpConfig(size=6), case.root, splits=["train"])
    with pytest.raises(StoreError, match="lacks 10 images, first bounding_box_test"):
        export(DsapStore(path), read_manifest(case.manifest), tmp_path / "parts")


def test_a_folder_with_other_files_is_refused(case: Case, store: DsapStore, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ConfigError, match="has files of another kind"):
        export(store, read_manifest(case.manifest), tmp_path / "mine")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_what_a_killed_export_left_is_replaced(case: Case, store: DsapStore, tmp_path: Path) -> None:
    records = read_manifest(case.manifest, ["query"])
    for folder in (tmp_path / "parts.part", tmp_path / ".parts.replaced"):
        folder.mkdir()
        (folder / "texels.npy").write_text("half")
        (folder / "records.csv.part").write_text("half")
    folder = export(store, records, tmp_path / "parts")
    assert read_manifest(folder / "records.csv") == records
    assert [path.name for path in tmp_path.iterdir() if "parts" in path.name] == ["parts"]


def test_a_link_to_a_larger_disk_stays(case: Case, store: DsapStore, tmp_path: Path) -> None:
    records = read_manifest(case.manifest, ["query"])
    behind = tmp_path / "large" / "parts"
    behind.parent.mkdir()
    (tmp_path / "parts").symlink_to(behind)
    for _ in range(2):
        export(store, records, tmp_path / "parts")
        assert (tmp_path / "parts").is_symlink()
        assert read_manifest(behind / "records.csv") == records


def test_a_second_export_at_the_same_time(case: Case, store: DsapStore, tmp_path: Path) -> None:
    with locked(tmp_path / "parts", "held"), pytest.raises(BusyError, match="Another process is writing"):
        export(store, read_manifest(case.manifest), tmp_path / "parts")


def test_a_limit_on_files_names_the_output(
    case: Case, store: DsapStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_large(path: Path, data: object) -> int:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(Path, "write_bytes", too_large)
    with pytest.raises(OSError, match="too large") as error:
        export(store, read_manifest(case.manifest), tmp_path / "parts")
    assert error.value.filename == str(tmp_path / "parts")
