"""What a user gets wrong is refused in one line."""

import pytest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["embed"], "Name the images to embed"),
        (["embed", "x", "--dataset", "market1501"], "Name the images to embed"),
        (["embed", "x"], "need --out FILE"),
        (["embed", "x", "--out", "f.h5"], "x is not a folder"),
        (["export", "m.onnx"], "No model was named"),
        (["export", "m.onnx", "--model", "absent.pt"], "absent.pt does not exist. Name another model"),
        (["search", "--query", "a.jpg", "--gallery", "absent.h5"], "does not exist"),
        (["search", "--query", "a.jpg", "--gallery", "absent.npy"], "cannot be read"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(run, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert "Traceback" not in done.output
