import dataclasses

import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.charts import BODY_REGIONS
from dsa_data.records import Record
from dsa_data.sets.rendered import NOTE
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, write_iuv
from dsa_train.explain.body_maps import BACKGROUND, REGIONS, BodyMaps, read_body_maps
from tiny import random_iuv, write_iuv_image

RECORD = Record("a.png", "query", 1, 1, 5, 5, "ab" * 32)


@pytest.fixture
def store(tmp_path):
    iuv = np.zeros((5, 5, 3), np.uint8)
    iuv[..., 0] = np.arange(25).reshape(5, 5)
    one = IuvMap(iuv, 1.0, np.zeros(4, np.float32), "found", RECORD.digest, "0" * 64)
    return write_iuv(tmp_path / "iuv.h5", Header("x", {"engine": "import"}, ""), ["a.png"], np.array([[5, 5]]), [one])


def test_every_pixel_is_of_one_region(store, tmp_path):
    maps = read_body_maps(tmp_path, None, store)
    assert isinstance(maps, BodyMaps)
    assert maps.source == f"the maps of {store}, engine import: not ground truth"
    regions = maps.regions(RECORD)
    assert tuple(regions) == REGIONS
    assert (np.stack(list(regions.values())).sum(0) == 1).all()
    for name, charts in BODY_REGIONS.items():
        assert regions[name].ravel().nonzero()[0].tolist() == list(charts)
    assert regions[BACKGROUND].sum() == 1


def test_a_map_of_another_image_is_refused(store, tmp_path):
    maps = read_body_maps(tmp_path, store, tmp_path / "nowhere.h5")
    assert isinstance(maps, BodyMaps)
    with pytest.raises(StoreError, match=r"another file a\.png than the manifest lists"):
        maps.chart(dataclasses.replace(RECORD, digest="cd" * 32))
    with pytest.raises(StoreError, match=r"does not contain b\.png"):
        maps.chart(dataclasses.replace(RECORD, key="b.png"))


def test_without_maps_there_are_none(tmp_path):
    assert read_body_maps(tmp_path, None, tmp_path / "nowhere.h5") is None


def test_ground_truth_has_no_errors_of_an_estimator(tmp_path):
    """By default the rendered engine misses people and parts, and takes left for right."""
    (tmp_path / NOTE).write_text("{}")
    truth = {f"query/{number}.jpg": random_iuv(12, 10, number) for number in range(20)}
    for key, iuv in truth.items():
        write_iuv_image(tmp_path / "iuv" / key.replace(".jpg", "_IUV.png"), iuv)
    maps = read_body_maps(tmp_path, None, tmp_path / "nowhere.h5")
    assert maps.source == "the renderer's ground truth"
    for number, (key, iuv) in enumerate(truth.items()):
        assert (maps.chart(Record(key, "query", 1, 1, 10, 12, f"{number:064x}")) == iuv[..., 0]).all()
