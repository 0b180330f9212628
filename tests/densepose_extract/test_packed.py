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
