"""The stage: what it stores, the same bytes on every path to them, and every fault named."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dsa_app.errors import BusyError, ConfigError, DatasetError, DsaError, ImageError, StoreError
from dsa_app.lock import locked
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvStore
from dsap import piece, stage
from dsap.coarse import crop
from dsap.config import WarpConfig
from dsap.plan import WarpItem
from dsap.stage import build
from dsap.warp import warp
from dsap_cases import Case
from small_stores import as_version_1

SMALL = WarpConfig(size=8)


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "GROUP", 3)


def make(case: Case, config: WarpConfig = SMALL, **options: object) -> bytes:
    """Build, and return the bytes built."""
    return build(case.manifest, case.iuv, case.out, config, case.root, **options).read_bytes()  # type: ignore[arg-type]


def from_nothing(case: Case, config: WarpConfig = SMALL) -> bytes:
    """Build into a new file, and return its bytes."""
    other = case.folder / "fresh" / "dsap.h5"
    other.unlink(missing_ok=True)
    return build(case.manifest, case.iuv, other, config, case.root).read_bytes()


@pytest.fixture
def warped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys of the images that are warped, in order."""
    keys: list[str] = []
    real = piece.warp_item

    def counted(item: WarpItem, root: Path, maps: IuvStore, config: WarpConfig) -> object:
        keys.append(item.key)
        return real(item, root, maps, config)

    monkeypatch.setattr(piece, "warp_item", counted)
    return keys


@pytest.mark.parametrize(
    "config", [SMALL, WarpConfig(size=8, collision="mean"), WarpConfig(size=5, parts="coarse")], ids=str
)
def test_stores_what_the_warp_gives(case: Case, config: WarpConfig) -> None:
    make(case, config)
    store, maps = DsapStore(case.out), IuvStore(case.iuv)
    records = read_manifest(case.manifest)
    assert store.keys == [record.key for record in records]
    assert store.header.dataset == "tiny"
    assert store.header.configuration["warp"]["size"] == config.size
    assert store.header.configuration["maps"] == {"engine": "rendered"}
    for index, record in enumerate(records):
        image, iuv = images.read(case.root / record.key), maps.read(index).iuv
        expected = crop(image, iuv, 5) if config.parts == "coarse" else warp(image, iuv, 8, config.collision)
        texels, valid = store.read(index)
        assert (texels == expected[0]).all()
        assert (valid == expected[1]).all()
        assert (store.counts[index] == valid.sum(axis=(1, 2))).all()
    assert not (case.folder / "dsap.h5.pieces").exists()
    assert 0 < (store.counts.sum(axis=1) == 0).sum() < len(store)  # images without a person are stored too


@pytest.mark.parametrize("jobs", [2, 4])
def test_same_bytes_for_any_number_of_workers(case: Case, jobs: int) -> None:
    assert make(case, jobs=jobs) == from_nothing(case)


def test_same_bytes_for_another_backend(case: Case) -> None:
    assert make(case, jobs=2, backend="threading") == from_nothing(case)


@pytest.fixture
def cluster() -> Iterator[str]:
    """A Dask cluster of two workers; its scheduler's address."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


def test_same_bytes_on_a_dask_cluster(case: Case, cluster: str) -> None:
    assert make(case, backend="dask", scheduler=cluster) == from_nothing(case)


def test_a_rebuild_without_a_change_warps_nothing(case: Case, warped: list[str]) -> None:
    before = make(case)
    warped.clear()
    assert make(case) == before
    assert make(case, overwrite=True) == before
    assert warped == []


def test_a_rebuild_warps_what_changed(case: Case, warped: list[str]) -> None:
    make(case)
    rng = np.random.default_rng(5)
    paths = sorted((case.root / "query").iterdir())
    paths[0].write_bytes(images.encode_jpeg(rng.integers(0, 256, (20, 10, 3), dtype=np.uint8)))  # another image
    paths[1].unlink()
    paths[2].with_name("0005_c3s1_000005_00.jpg").write_bytes(
        images.encode_jpeg(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    )
    case.list_images()
    case.make_maps()
    warped.clear()
    assert make(case) == from_nothing(case)
    assert warped[:2] == ["query/0001_c1s1_000001_00.jpg", "query/0005_c3s1_000005_00.jpg"]


def test_a_rebuild_warps_a_changed_map(case: Case, warped: list[str]) -> None:
    make(case)
    case.replace_maps({4: np.full((24, 12, 3), 7, np.uint8)})
    warped.clear()
    assert make(case) == from_nothing(case)
    assert warped[:1] == [read_manifest(case.manifest)[4].key]


def test_maps_of_another_engine_that_are_the_same_are_not_warped_again(case: Case, warped: list[str]) -> None:
    make(case)
    case.make_maps({"engine": "import"})
    warped.clear()
    with pytest.raises(StoreError, match=r"maps\.engine was rendered, this run wants import"):
        make(case)
    rebuilt = make(case, overwrite=True)
    assert warped == []
    assert rebuilt == from_nothing(case)


def test_a_damaged_chunk_is_warped_again(case: Case, warped: list[str]) -> None:
    whole = make(case)
    store = DsapStore(case.out)
    texels = store.chunk(3).texels
    store.close()
    middle = whole.index(texels) + len(texels) // 2
    case.out.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    warped.clear()
    assert make(case) == whole
    assert warped == [read_manifest(case.manifest)[3].key]


def test_a_store_of_version_1_is_made_anew(case: Case, warped: list[str]) -> None:
    whole = make(case)
    as_version_1(case.out)
    warped.clear()
    assert make(case) == whole
    assert len(warped) == len(read_manifest(case.manifest))


def test_a_damaged_chart_image_is_made_again(case: Case, warped: list[str]) -> None:
    whole = make(case)
    with DsapStore(case.out) as store:
        frame = store.chunk(3).charts
    middle = whole.index(frame) + len(frame) // 2
    case.out.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    warped.clear()
    assert make(case) == whole
    assert warped == [read_manifest(case.manifest)[3].key]


def test_splits_one_at_a_time_and_all(case: Case, warped: list[str]) -> None:
    make(case, splits=["train"])
    assert {key.split("/")[0] for key in DsapStore(case.out).keys} == {"bounding_box_train"}
    warped.clear()
    assert make(case) == from_nothing(case)
    assert not any(key.startswith("bounding_box_train") for key in warped[:10])
    with pytest.raises(DatasetError, match="the split 'val' is empty"):
        make(case, splits=["val"])


def test_another_size_is_refused_unless_overwritten(case: Case) -> None:
    before = make(case)
    with pytest.raises(StoreError, match=r"warp\.size was 8, this run wants 4.*\n.*dsap build --overwrite"):
        make(case, WarpConfig(size=4))
    assert case.out.read_bytes() == before
    assert make(case, WarpConfig(size=4), overwrite=True) == from_nothing(case, WarpConfig(size=4))


def interrupted(case: Case, pieces: int) -> None:
    """Build in another process, and kill it when it has written so many pieces."""
    script = (
        "import sys, time\nfrom pathlib import Path\n"
        "from dsap import piece, stage\nfrom dsap.config import WarpConfig\n"
        "stage.GROUP, real = 3, piece.warp_item\n"
        "piece.warp_item = lambda *given: time.sleep(0.02) or real(*given)\n"
        "stage.build(*map(Path, sys.argv[1:4]), WarpConfig(size=8), Path(sys.argv[4]))\n"
    )
    paths = [case.manifest, case.iuv, case.out, case.root]
    process = subprocess.Popen([sys.executable, "-c", script, *map(str, paths)])
    folder = case.folder / "dsap.h5.pieces"
    deadline = time.monotonic() + 60
    while len(list(folder.glob("*.npz"))) < pieces and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert len(list(folder.glob("*.npz"))) >= pieces
    assert not case.out.exists()


def test_killed_and_resumed(case: Case, warped: list[str]) -> None:
    interrupted(case, pieces=2)
    resumed = make(case)
    assert 0 < len(warped) <= len(read_manifest(case.manifest)) - 2 * 3
    assert resumed == from_nothing(case)


def test_resumed_with_other_settings_is_refused(case: Case) -> None:
    interrupted(case, pieces=1)
    with pytest.raises(StoreError, match=r"warp\.size was 8, this run wants 16"):
        make(case, WarpConfig(size=16))
    assert make(case, WarpConfig(size=16), overwrite=True) == from_nothing(case, WarpConfig(size=16))


def test_resumed_after_an_image_changed(case: Case) -> None:
    interrupted(case, pieces=1)
    first = case.root / read_manifest(case.manifest)[0].key
    first.write_bytes(images.encode_jpeg(np.full((20, 10, 3), 77, np.uint8)))
    case.list_images()
    case.make_maps()
    assert make(case) == from_nothing(case)


def test_two_builds_at_once(case: Case) -> None:
    before = make(case)
    with locked(case.out, "held"), pytest.raises(BusyError, match=r"Another process is writing .*dsap\.h5"):
        make(case)
    assert case.out.read_bytes() == before
    assert make(case) == before


def refused(case: Case, error: type[DsaError], *words: str) -> None:
    """Check that building fails with these words, and that no output is written."""
    with pytest.raises(error) as caught:
        make(case)
    for word in words:
        assert word in str(caught.value)
    assert not case.out.exists()


def test_a_map_of_another_size(case: Case) -> None:
    key = read_manifest(case.manifest)[2].key
    case.replace_maps({2: np.zeros((24, 13, 3), np.uint8)})
    refused(case, DatasetError, key, "12x24, its map 13x24", "densepose-extract")


def test_a_chart_above_24(case: Case) -> None:
    key = read_manifest(case.manifest)[2].key
    case.replace_maps({2: np.full((24, 12, 3), 25, np.uint8)})
    refused(case, ImageError, key, "chart 25 at row 0, column 0")


def test_an_image_without_a_map(case: Case) -> None:
    new = case.root / "query" / "0005_c3s1_000005_00.jpg"
    new.write_bytes(images.encode_jpeg(np.zeros((4, 4, 3), np.uint8)))
    case.list_images()
    refused(case, DatasetError, "lacks the maps of 1 images, first query/0005_c3s1_000005_00.jpg")


def test_a_map_without_an_image(case: Case) -> None:
    gone = sorted((case.root / "query").iterdir())[0]
    gone.unlink()
    case.list_images()
    refused(case, DatasetError, f"maps of 1 images that the manifest does not list, first query/{gone.name}")


def test_an_image_changed_since_its_map_was_made(case: Case) -> None:
    changed = sorted((case.root / "query").iterdir())[0]
    changed.write_bytes(images.encode_jpeg(np.zeros((24, 12, 3), np.uint8)))
    refused(case, ImageError, f"query/{changed.name} has changed since it was listed")
    case.list_images()
    refused(case, DatasetError, f"query/{changed.name} has changed since its map was made")


def test_an_image_that_was_deleted(case: Case) -> None:
    gone = sorted((case.root / "query").iterdir())[0]
    gone.unlink()
    refused(case, ImageError, f"{gone} is missing")


def test_pieces_made_before_a_fault_are_kept(case: Case, warped: list[str]) -> None:
    last = case.root / read_manifest(case.manifest)[-1].key
    data = last.read_bytes()
    last.write_bytes(b"")
    refused(case, ImageError, last.name)
    warped.clear()
    last.write_bytes(data)
    whole = make(case)
    assert len(warped) <= 3
    assert whole == from_nothing(case)


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_a_truncated_store_is_replaced_only_with_overwrite(case: Case, keep: int) -> None:
    whole = make(case)
    case.out.write_bytes(whole[:keep])
    with pytest.raises(StoreError, match="--overwrite"):
        make(case)
    assert case.out.read_bytes() == whole[:keep]
    assert make(case, overwrite=True) == whole


def test_a_damaged_map(case: Case) -> None:
    whole = case.iuv.read_bytes()
    case.iuv.write_bytes(whole[: len(whole) // 2])
    refused(case, StoreError, "iuv.h5", "densepose-extract run --overwrite")


def test_errors_of_workers_are_raised(case: Case) -> None:
    case.replace_maps({2: np.full((24, 12, 3), 25, np.uint8)})
    with pytest.raises(ImageError, match="chart 25"):
        make(case, jobs=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "looky"}, "Did you mean 'loky'?"),
        ({"backend": "multiprocessing"}, "Unknown backend 'multiprocessing'"),
        ({"backend": "dask"}, "need each other"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "need each other"),
        ({"jobs": 0}, "--jobs must not be 0"),
    ],
)
def test_unusable_workers_are_refused(case: Case, options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(case, **options)


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer(case: Case) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(ConfigError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        make(case, backend="dask", scheduler="tcp://127.0.0.1:9")


def test_no_path_is_in_the_bytes(case: Case) -> None:
    assert str(case.folder).encode() not in make(case)
