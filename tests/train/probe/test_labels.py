"""Region labels of cells."""

from pathlib import Path

import numpy as np
import pytest

from dsa_data.records import Record
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv
from dsa_train.probe.labels import cell_shares, read_shares


def test_shares_of_a_cell_by_hand() -> None:
    chart = np.array([[0, 0, 1, 2], [0, 23, 1, 2], [24, 24, 0, 0], [24, 24, 0, 3]], np.uint8)
    shares = cell_shares(chart, (2, 2)).numpy()
    assert shares[:, 0, 0].tolist() == [0.75, 0, 0, 0, 0, 0, 0, 0, 0.25]  # background, and a pixel of the head
    assert shares[:, 0, 1].tolist() == [0, 1, 0, 0, 0, 0, 0, 0, 0]  # torso, back and front
    assert shares[:, 1, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert shares[:, 1, 1].tolist() == [0.75, 0, 0.25, 0, 0, 0, 0, 0, 0]  # a hand


def test_images_without_a_map(tmp_path: Path) -> None:
    def stored(chart: int, status: str, digest: str) -> IuvMap:
        box = np.full(4, np.nan, np.float32)
        return IuvMap(np.full((4, 4, 3), chart, np.uint8), 1.0, box, status, digest, "0" * 64)

    a, b = "a" * 64, "b" * 64
    cases = {  # of each key: chart, status, digest in the store, digest in the manifest; None where the store has none
        "found": (1, "found", a, a),
        "fallback": (1, "fallback", a, a),
        "none": (0, "none", a, a),
        "background": (0, "found", a, a),
        "changed": (1, "found", b, a),
        "missing": None,
    }
    inside = {key: case for key, case in cases.items() if case}
    maps = [stored(*case[:3]) for case in inside.values()]
    path = write_iuv(tmp_path / "iuv.h5", Header("x", {}, ""), list(inside), np.full((len(maps), 2), 4), maps)
    from dsa_data.stores.iuv import IuvStore

    records = [Record(key, "train", 1, 1, 4, 4, a) for key in cases]
    shares, known = read_shares(IuvStore(path), records, (2, 1))
    assert dict(zip(cases, known.tolist(), strict=True)) == {key: key in ("found", "fallback") for key in cases}
    assert shares[known].sum(1).tolist() == [[[1.0], [1.0]]] * 2
    assert not shares[~known].any()


def test_a_grid_that_does_not_divide_the_map() -> None:
    shares = cell_shares(np.ones((7, 5), np.uint8), (3, 2))
    assert shares[1].numpy() == pytest.approx(np.ones((3, 2)))
