"""Features written in pieces."""

import dsa_reid
from dsa_train.gallery import embed as embedding
from dsa_train.gallery.sources import in_folder


def test_killed_and_resumed_the_bytes_are_those_of_one_run(tmp_path, model, image_folder, monkeypatch):
    """Killed after every piece of 5 images in turn."""
    monkeypatch.setattr(embedding, "PIECE", 5)
    loaded, sources = dsa_reid.load(model), in_folder(image_folder)
    whole = embedding.embed(sources, loaded, tmp_path / "whole.h5").path.read_bytes()
    real, computed = loaded.features, []

    def dying(images, visibility=False):
        if len(computed) % 2:
            computed.append(0)
            raise KeyboardInterrupt
        computed.append(len(images))
        return real(images)

    monkeypatch.setattr(loaded, "features", dying)
    for _ in range(3):
        try:
            embedding.embed(sources, loaded, tmp_path / "killed.h5")
        except KeyboardInterrupt:
            assert not (tmp_path / "killed.h5").exists()
    assert computed == [5, 0, 5, 0, 2]  # no piece twice
    assert (tmp_path / "killed.h5").read_bytes() == whole
