"""The maps of a piece: each is read back as it was packed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densepose_extract.packed import Packed, pack
from dsa_data.stores.iuv import IuvMap
from dsa_data.stores.pieces import Pieces
from tiny import random_iuv


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5))
def test_round_trip_through_a_file(tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]]) -> None:
    statuses = ["found", "none", "fallback"]
    maps = [
        IuvMap(
            random_iuv(*size, n),
            float("nan") if n == 1 else n / 8,
            np.arange(4, dtype=np.float32),
            statuses[n % 3],
            "0f" * 32,
            f"{n:064x}",
        )
        for n, size in enumerate(sizes)
    ]
    reasons = ["" if n else "a.jpg does not decode: ä" for n in range(len(maps))]
    with Pieces(tmp_path_factory.mktemp("p") / "out", {}) as pieces:
        pieces.write("one", **pack(maps, reasons))
        packed = Packed(pieces.read("one"))
    assert packed.reasons == reasons
    assert packed.batch_digests == [iuv_map.batch_digest for iuv_map in maps]
    for index in reversed(range(len(maps))):
        unpacked, expected = packed.read(index), maps[index]
        assert (unpacked.iuv == expected.iuv).all()
        assert unpacked.score == expected.score or np.isnan([unpacked.score, expected.score]).all()
        assert (unpacked.status, unpacked.digest, unpacked.batch_digest) == (
            expected.status,
            expected.digest,
            expected.batch_digest,
        )
        assert unpacked.box.tolist() == expected.box.tolist()


@pytest.mark.parametrize("fine", [False, True])
def test_confidences_and_i_alone_are_kept(fine: bool) -> None:
    rng = np.random.default_rng(0)
    iuv = random_iuv(6, 5)
    sixteen = rng.integers(0, 65536, (6, 5, 2), dtype=np.uint16) if fine else None
    confidence = rng.integers(0, 256, (6, 5), dtype=np.uint8)
    box = np.zeros(4, np.float32)
    sure = IuvMap(iuv, 1.0, box, "found", "0f" * 32, "f0" * 32, sixteen, confidence, 0.25)
    alone = IuvMap(iuv * np.array([1, 0, 0], np.uint8), 1.0, box, "found", "0f" * 32, "f0" * 32, has_uv=False)
    packed = Packed(pack([sure, alone], ["", ""]))
    first, second = packed.read(0), packed.read(1)
    assert first.confidence is not None
    assert (first.confidence == confidence).all()
    assert (first.fine is not None) == fine
    if fine:
        assert (first.fine == sixteen).all()
    assert (first.image_confidence, first.has_uv) == (0.25, True)
    assert (second.confidence, second.has_uv) == (None, False)
    assert np.isnan(second.image_confidence)
    assert (second.iuv == alone.iuv).all()


def test_a_piece_of_an_earlier_version_is_read() -> None:
    arrays = pack([IuvMap(random_iuv(3, 2), 1.0, np.zeros(4, np.float32), "found", "0f" * 32, "f0" * 32)], [""])
    del arrays["image_confidence"], arrays["has_uv"]
    one = Packed(arrays).read(0)
    assert (one.iuv == random_iuv(3, 2)).all()
    assert (one.confidence, one.has_uv) == (None, True)
    assert np.isnan(one.image_confidence)
