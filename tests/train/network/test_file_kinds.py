"""Files that have no weights are named by what they are; those that have are read whatever their suffix."""

import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from dsa_app.errors import CheckpointError
from dsa_train.network.file_kinds import kind_of
from dsa_train.network.weights_file import read_source


def torch_file(**options: object) -> bytes:
    made = io.BytesIO()
    torch.save({"conv1.weight": torch.ones(2, 3)}, made, **options)
    return made.getvalue()


def archive(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as opened:
        for name in names:
            opened.writestr(name, b"x")
    return made.getvalue()


def array() -> bytes:
    made = io.BytesIO()
    np.save(made, np.zeros(3))
    return made.getvalue()


KINDS = {
    "a.npy": (array(), r"an array of NumPy \(\.npy\)"),
    "a.npz": (archive("qf.npy", "gf.npy"), r"arrays of NumPy \(\.npz\)"),
    "pointer.pth": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS.*git lfs pull"),
    "page.pth": (b"\n<!DOCTYPE html><html>", "a web page.*Download it again"),
    "notes.pth": (b"epoch: 3\n", "is text"),
    "empty.pth": (b"", "is empty"),
    "cut.pth": (torch_file()[:-200], "a truncated ZIP archive"),
    "pickle.pkl": (pickle.dumps({"model": {"stem": 1.0}}), r"a pickle that torch\.save did not write"),
    "program.pt2": (archive("m/archive_format", "m/models/model.json"), r"an exported program.*Name the model\.pt"),
    "many.zip": (archive("a.txt", "b.pth"), "a ZIP archive without weights"),
    "packed.pth.gz": (b"\x1f\x8b\x08", "a gzip archive; expected"),
    "model.onnx": (b"\x08\x0a\x12\x07pytorch\xff", "a graph of ONNX"),
    "noise.pth": (bytes(range(128, 256)), "damaged, or of an unknown kind"),
}


@pytest.mark.parametrize("name", KINDS)
def test_what_a_file_is_is_said(tmp_path: Path, name: str) -> None:
    content, words = KINDS[name]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as error:
        read_source(path)
    message = str(error.value)
    assert message.startswith(f"{path} is ")
    assert "expected weights: a state dict of torch.save, or safetensors" in message
    assert message.endswith("set train.network.weights to another file.")
    assert "\n" not in message


def test_files_of_features(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"] = np.zeros((2, 3))
    scipy.io.savemat(tmp_path / "f.mat", {"qf": np.zeros((2, 3))})
    for name, words in (("f.h5", "an HDF5 file"), ("f.mat", "a MATLAB file")):
        with pytest.raises(CheckpointError, match=words):
            read_source(tmp_path / name)


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_weights_are_of_no_such_kind(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(torch_file(**options))
    assert kind_of(path) is None
    assert list(read_source(path).weights) == ["conv1.weight"]


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    header = b'{"conv1.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.float32(3).tobytes())
    assert read_source(path).weights["conv1.weight"].item() == 3
    text = tmp_path / "w.safetensors"
    text.write_bytes(torch_file())
    assert list(read_source(text).weights) == ["conv1.weight"]
