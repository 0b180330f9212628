"""`dsa-train export` and `check-export`, with their faults."""

from thin import write_model


def test_exported_and_checked(run, tmp_path, model, image_folder):
    for name, where in (("m.onnx", "inside"), ("m.pt2", "outside")):
        done = run("export", tmp_path / name, "--model", model, "--normalise", where)
        assert done.exit_code == 0, done.output
        checked = run("check-export", tmp_path / name, image_folder, image_folder / "a" / "00.jpg", "--model", model)
        assert checked.exit_code == 0, checked.output
        assert "13 of them yours" in checked.stdout
    other = write_model(tmp_path / "other.pt", seed=1)
    refused = run("check-export", tmp_path / "m.onnx", "--model", other)
    assert refused.exit_code == 2
    assert "was exported from the model" in refused.stderr
