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


def npy(header: str, rows: bytes = b"") -> bytes:
    text = header.encode() + b" " * 40 + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + rows


NPY_DAMAGE = {
    "empty": b"",
    "a text": b"no array",
    "a zip": b"PK\x05\x06" + bytes(18),
    "a pickle": b"\x80\x04N.",
    "10^12 rows": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 128), }"),
    "2^70 rows": npy(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**70}, 128), }}"),
    "rows below 0": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-12, 128), }"),
    "objects": npy("{'descr': '|O', 'fortran_order': False, 'shape': (12,), }", bytes(96)),
    "records": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (12,), }", bytes(96)),
    "texts": npy("{'descr': '<U4', 'fortran_order': False, 'shape': (12, 1), }", bytes(400)),
    "whole numbers": npy("{'descr': '<i8', 'fortran_order': False, 'shape': (12, 1), }", bytes(96)),
    "one dimension": npy("{'descr': '<f4', 'fortran_order': False, 'shape': (12,), }", bytes(48)),
    "9,000 brackets": npy("(" * 9000),
    "no dictionary": npy("5"),
    "a header without end": b"\x93NUMPY\x02\x00\xff\xff\xff\x7f{",
    "another version": b"\x93NUMPY\x09\x00" + bytes(50),
}


@pytest.mark.parametrize("name", NPY_DAMAGE)
def test_numpy_features_that_are_damaged(run, tmp_path, model, image_folder, name):
    out = tmp_path / "f.npy"
    run("embed", image_folder, "--model", model, "--out", out)
    out.write_bytes(NPY_DAMAGE[name])
    with pytest.raises(StoreError, match=r"f\.npy (cannot be read|holds)") as error:
        NumpyFeatures(out)
    assert "\n" not in str(error.value)


BESIDE_DAMAGE = {
    "no JSON": (".json", b"{"),
    "brackets": (".json", b"[" * 9000),
    "a list": (".json", b"[]"),
    "a number": (".json", b"5"),
    "nothing in it": (".json", b"{}"),
    "no text": (".json", b"\xff\xfe\x00"),
    "no keys": (".csv", b""),
    "one column": (".csv", b"key\na\n"),
    "a NUL": (".csv", b"key,digest\n\x00,\x00\n"),
    "a field without end": (".csv", b'key,digest\n"' + b"x" * 200_000),
    "fewer keys": (".csv", b"key,digest\na,b\n"),
}


@pytest.mark.parametrize("name", BESIDE_DAMAGE)
def test_what_lies_beside_numpy_features_is_damaged(run, tmp_path, model, image_folder, name):
    out = tmp_path / "f.npy"
    run("embed", image_folder, "--model", model, "--out", out)
    suffix, data = BESIDE_DAMAGE[name]
    out.with_suffix(suffix).write_bytes(data)
    with pytest.raises(StoreError, match=r"f\.npy (cannot be read|holds)") as error:
        NumpyFeatures(out)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


@pytest.mark.parametrize("value", [5, None, ["x"], {}])
@pytest.mark.parametrize("path", [("dataset",), ("inputs",), ("configuration", "origin", "model"), ("checksum",)])
def test_statements_beside_numpy_features_have_their_types(run, tmp_path, model, image_folder, path, value):
    if path == ("checksum",) and value == 5:
        return  # a number is what belongs there
    out = tmp_path / "f.npy"
    run("embed", image_folder, "--model", model, "--out", out)
    about = json.loads(out.with_suffix(".json").read_text())
    inner = about
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    out.with_suffix(".json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match=r"f\.npy cannot be read"):
        NumpyFeatures(out)
