"""The sample that explanations are relative to."""

from dsa_data.stores.features import FeatureStore
from dsa_train.gallery import search as searching


def test_the_sample_that_explains_is_bounded(run, tmp_path, model, image_folder, monkeypatch):
    run("embed", image_folder, "--model", model, "--out", tmp_path / "features.h5")
    monkeypatch.setattr(searching, "SAMPLE", 7)
    assert len(searching._sample(FeatureStore(tmp_path / "features.h5"))) == 6  # every second of 12
