"""The I, U, V store: what is written is read, and values are quantised by rounding."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.iuv import IuvStore, quantise
from small_stores import HEADER, KEYS, iuv_maps, make_iuv


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = IuvStore(make_iuv(tmp_path / "iuv.h5"))
    assert store.keys == KEYS
    assert store.header == HEADER
    for index, expected in enumerate(iuv_maps()):
        read = store.read(index)
        assert (read.iuv == expected.iuv).all()
        assert (read.score, read.status, read.digest, read.batch_digest) == (0.5, expected.status, "0f" * 32, "f0" * 32)
        assert read.box.tolist() == [0, 1, 2, 3]


def test_values_are_rounded() -> None:
    u = np.array([0, 0.4 / 255, 0.6 / 255, 1])
    values = quantise(np.array([1, 2, 3, 24], np.uint8), u, 1 - u)
    assert values.dtype == np.uint8
    assert values.tolist() == [[1, 0, 255], [2, 0, 255], [3, 1, 254], [24, 255, 0]]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [("status", "a status is 9, expected 0 to "), ("link", "(Unable to ")],
)
def test_damage_is_told_in_words(tmp_path: Path, damage: str, reason: str) -> None:
    path = make_iuv(tmp_path / "iuv.h5")
    with h5py.File(path, "r+") as file:
        if damage == "status":
            file["status"][...] = 9
        else:
            del file["score"]
            file["score"] = h5py.ExternalLink("absent.h5", "/score")
    with pytest.raises(StoreError) as error:
        IuvStore(path)
    assert reason in str(error.value)
    assert "is missing" not in str(error.value)
