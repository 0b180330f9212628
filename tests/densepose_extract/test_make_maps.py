"""Making maps: in order and ahead of time; an image that cannot be read is named or skipped."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from batches import BatchEngine
from densepose_extract.engines.engine import Extracted
from densepose_extract.make_maps import ImageReader, make_maps, out_of_memory_explained
from densepose_extract.packed import Packed
from densepose_extract.plan import make_plan
from dsa_app.errors import EngineError, ImageError
from dsa_data import images
from dsa_data.records import read_manifest
from tiny import list_images


def test_an_image_that_changed_is_named(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    victim = market / records[2].key
    victim.write_bytes(images.encode_jpeg(np.zeros((24, 12, 3), np.uint8)))
    engine = BatchEngine(4)
    with pytest.raises(ImageError, match=rf"{victim.name} has changed since it was listed.*dsa-data prepare"):
        list(make_maps(make_plan(records, "tiny", engine).batches, ImageReader(market), engine))


def test_a_batch_is_made_without_a_broken_image(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    (market / records[2].key).unlink()
    engine = BatchEngine(4)
    batches = make_plan(records, "tiny", engine).batches
    packed = [Packed(arrays) for _, arrays in make_maps(batches, ImageReader(market, skip_broken=True), engine)]
    first, planned = packed[0], batches[0].batch_digests
    assert [bool(reason) for reason in first.reasons] == [False, False, True, False]
    assert "is missing" in first.reasons[2]
    assert [first.read(index).status for index in range(4)] == ["found", "found", "none", "found"]
    assert first.read(0).iuv[..., 0].max() == 3  # the network saw three
    assert first.batch_digests[0] == first.batch_digests[3] != planned[0]
    assert first.batch_digests[2] not in {first.batch_digests[0], planned[2]}
    assert packed[1].batch_digests == list(batches[1].batch_digests)


def test_a_batch_of_broken_images_only(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))[:2]
    for record in records:
        (market / record.key).write_bytes(b"")
    engine = BatchEngine(4)
    batches = make_plan(records, "tiny", engine).batches
    ((_, arrays),) = make_maps(batches, ImageReader(market, skip_broken=True), engine)
    assert all(Packed(arrays).reasons)
    assert engine.seen == 0


class InFlight(BatchEngine):
    """The stand-in as an engine on a GPU is: images prepared ahead, two batches computed at the same time."""

    in_flight = 2

    def __init__(self, batch: int) -> None:
        super().__init__(batch)
        self.both = threading.Barrier(2, timeout=60)

    def canvas(self, given: Sequence[np.ndarray]) -> np.ndarray:
        return np.stack(given)

    def extract(self, given: Sequence[np.ndarray], canvas: np.ndarray | None = None) -> list[Extracted]:
        assert canvas is not None
        assert np.array_equal(canvas, np.stack(given))
        self.both.wait()  # two threads are here, or the test fails
        return super().extract(given)


@pytest.mark.parametrize("jobs", [1, 4])
def test_batches_in_flight_come_in_order_with_the_same_maps(market: Path, tmp_path: Path, jobs: int) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    batches = make_plan(records, "tiny", BatchEngine(2)).batches[:6]
    assert len(batches) == 6
    expected = list(make_maps(batches, ImageReader(market), BatchEngine(2)))
    found = list(make_maps(batches, ImageReader(market), InFlight(2), jobs))
    assert [batch for batch, _ in found] == list(batches)
    for (_, ours), (_, wanted) in zip(found, expected, strict=True):
        assert ours.keys() == wanted.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], wanted[name], err_msg=name)


def test_what_was_in_flight_before_a_broken_image_is_not_lost(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    batches = make_plan(records, "tiny", BatchEngine(2)).batches
    (market / batches[2].records[0].key).unlink()
    maps = make_maps(batches, ImageReader(market), InFlight(2))
    assert [next(maps)[0] for _ in range(2)] == list(batches[:2])
    with pytest.raises(ImageError, match="is missing"):
        next(maps)


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory. Tried to allocate"), MemoryError()])
def test_out_of_memory_has_a_remedy(error: Exception) -> None:
    with pytest.raises(EngineError, match=r"begins with a\.jpg.*--batch"), out_of_memory_explained("a.jpg"):
        raise error
    with pytest.raises(RuntimeError, match="other"), out_of_memory_explained("a.jpg"):
        raise RuntimeError("other")
