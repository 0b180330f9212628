"""`dsa-train export` and `check-export`, with their faults."""

from thin import write_model


def test_exported_and_checked(run, tmp_path, model, image_folder):
    for name, *where in (("m.onnx",), ("m.pt2", "--normalise", "outside")):
        done = run("export", tmp_path / name, "--model", model, *where)
        assert done.exit_code == 0, done.output
        checked = run("check-export", tmp_path / name, image_folder, image_folder / "a" / "00.jpg", "--model", model)
        assert checked.exit_code == 0, checked.output
        assert "13 of them yours" in checked.stdout
    other = write_model(tmp_path / "other.pt", seed=1)
    refused = run("check-export", tmp_path / "m.onnx", "--model", other)
    assert refused.exit_code == 2
    assert "was exported from the model" in refused.stderr


def test_resizing_before_normalising_outside_is_refused(run, tmp_path, model):
    refused = run("export", tmp_path / "m.onnx", "--model", model, "--normalise", "outside", "--resize", "inside")
    assert refused.exit_code == 2
    assert "Images are resized before they are normalised" in refused.stderr
