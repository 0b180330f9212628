"""Making maps: in order and ahead of time, with what is wrong named or skipped."""

from pathlib import Path

import numpy as np
import pytest

from batches import BatchEngine
from densepose_extract.packed import Packed
from densepose_extract.plan import plan
from densepose_extract.work import Pictures, make, memory_explained
from dsa_app.errors import EngineError, ImageError
from dsa_data import images
from dsa_data.records import read_manifest
from tiny import list_images


def test_a_picture_that_changed_is_named(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    victim = market / records[2].key
    victim.write_bytes(images.encode_jpeg(np.zeros((24, 12, 3), np.uint8)))
    engine = BatchEngine(4)
    with pytest.raises(ImageError, match=rf"{victim.name} has changed since it was listed.*dsa-data prepare"):
        list(make(plan(records, engine), Pictures(records, market), engine))


def test_a_batch_goes_on_without_a_broken_picture(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    (market / records[2].key).unlink()
    engine = BatchEngine(4)
    pieces = plan(records, engine)
    packed = [Packed(arrays) for _, arrays in make(pieces, Pictures(records, market, skip_broken=True), engine)]
    first = packed[0]
    assert [bool(reason) for reason in first.reasons] == [False, False, True, False]
    assert "is missing" in first.reasons[2]
    assert [first.read(place).status for place in range(4)] == ["found", "found", "none", "found"]
    assert first.read(0).iuv[..., 0].max() == 3  # the network saw three
    assert first.batch_digests[0] == first.batch_digests[3] != pieces[0].units[0]
    assert first.batch_digests[2] not in {first.batch_digests[0], pieces[0].units[2]}
    assert packed[1].batch_digests == list(pieces[1].units)


def test_a_batch_of_broken_pictures_only(market: Path, tmp_path: Path) -> None:
    records = read_manifest(list_images(market, tmp_path / "manifest.csv"))[:2]
    for record in records:
        (market / record.key).write_bytes(b"")
    engine = BatchEngine(4)
    ((_, arrays),) = make(plan(records, engine), Pictures(records, market, skip_broken=True), engine)
    assert all(Packed(arrays).reasons)
    assert engine.seen == 0


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory. Tried to allocate"), MemoryError()])
def test_out_of_memory_says_what_to_change(error: Exception) -> None:
    with pytest.raises(EngineError, match=r"begins with a\.jpg.*--batch"), memory_explained("a.jpg"):
        raise error
    with pytest.raises(RuntimeError, match="other"), memory_explained("a.jpg"):
        raise RuntimeError("other")
