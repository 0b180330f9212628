"""Features in .npy with their .csv and .json."""

import json

import pytest

from dsa_app.errors import StoreError
from dsa_train.gallery.feature_files import NumpyFeatures


def test_numpy_features_without_what_belongs_to_them(run, tmp_path, model, image_folder):
    run("embed", image_folder, "--model", model, "--out", tmp_path / "f.npy")
    assert json.loads((tmp_path / "f.json").read_text())["configuration"]["type"] == "float32"
    note = tmp_path / "f.json"
    note.write_text(note.read_text().replace("dsa-reid features", "another's features"))
    with pytest.raises(StoreError, match=r"the \.json has the format .another's features"):
        NumpyFeatures(tmp_path / "f.npy")
    (tmp_path / "f.csv").unlink()
    with pytest.raises(StoreError, match="Keep the three together"):
        NumpyFeatures(tmp_path / "f.npy")
