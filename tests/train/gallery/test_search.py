"""The sample that explanations are relative to, and the index that is kept beside the features."""

import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.features import FeatureStore
from dsa_train.gallery import search as searching
from dsa_train.gallery.feature_files import open_features
from dsa_train.gallery.kept_index import index_file


def test_the_sample_that_explains_is_bounded(run, tmp_path, model, image_folder, monkeypatch):
    run("embed", image_folder, "--model", model, "--out", tmp_path / "features.h5")
    monkeypatch.setattr(searching, "SAMPLE", 7)
    assert len(searching._sample(FeatureStore(tmp_path / "features.h5"))) == 6  # every second of 12


def test_a_query_that_is_missing_or_damaged(run, tmp_path, model, image_folder):
    """The remedy is another query: no manifest lists it."""
    out, query = tmp_path / "features.h5", tmp_path / "who.jpg"
    run("embed", image_folder, "--model", model, "--out", out)
    for content, fault in ((None, "is missing"), (b"no image", "does not decode as an image")):
        if content:
            query.write_bytes(content)
        refused = run("search", "--query", query, "--gallery", out, "--model", model)
        assert refused.exit_code == 2
        assert f"{query} {fault}" in refused.stderr
        assert refused.stderr.endswith("or name another image: --query FILE\n")


def flipped(data: bytes, place: float) -> bytes:
    changed = bytearray(data)
    changed[int(place * (len(data) - 1))] ^= 0x40
    return bytes(changed)


INDEX_DAMAGE = {
    "cut": lambda data: data[:100],
    "empty": lambda data: b"",
    "longer": lambda data: data + b"x",
    **{f"a bit at {place}": lambda data, place=place: flipped(data, place) for place in (0, 0.01, 0.3, 0.9, 1)},
    "10^15 rows": lambda data: data[:8] + (10**15).to_bytes(8, "little") + data[16:],
}


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_an_index_that_cannot_be_read(run, tmp_path, model, image_folder, kind):
    """FAISS would end the process over some of them, or find rows that are not there."""
    out = tmp_path / "features.h5"
    run("embed", image_folder, "--model", model, "--out", out)
    features, query = open_features(out), np.ones((1, 128), np.float32)
    searching.rank(query, features, 3, kind)
    index = index_file(out, kind)
    whole = index.read_bytes()
    for name, damage in INDEX_DAMAGE.items():
        index.write_bytes(damage(whole))
        with pytest.raises(StoreError, match=r"\.faiss cannot be read \(its bytes are not those that were written\)"):
            searching.rank(query, features, 3, kind)
        assert name
    index.write_bytes(whole)
    assert searching.rank(query, features, 3, kind).places.shape == (1, 3)


@pytest.mark.parametrize(
    "note", ["", "{", "[]", "5", "{}", "[" * 9000, '{"format": "dsa-reid index"}', b"\xff"], ids=repr
)
def test_an_index_whose_note_is_damaged(run, tmp_path, model, image_folder, note):
    out = tmp_path / "features.h5"
    run("embed", image_folder, "--model", model, "--out", out)
    search = [
        "search",
        "--query",
        image_folder / "a" / "04.jpg",
        "--gallery",
        out,
        "--model",
        model,
        "--engine",
        "flat",
    ]
    run(*search)
    (tmp_path / "features.h5.flat.faiss.json").write_bytes(note if isinstance(note, bytes) else note.encode())
    refused = run(*search)
    assert refused.exit_code == 2
    assert "cannot be read" in refused.stderr or "was built from other features" in refused.stderr
    assert refused.stderr.count("\n") == 1
