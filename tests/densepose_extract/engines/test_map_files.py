"""Others' maps: every name and every form of content is read, or refused with what is wrong."""

import io
import unicodedata
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from densepose_extract.engines.imported import Imported
from densepose_extract.engines.map_files import decode_map
from dsa_app.errors import ImageError
from dsa_data import images
from dsa_data.records import Record
from dsa_data.walk import is_map
from tiny import random_iuv

IUV = random_iuv(6, 8)
FRACTIONS = np.concatenate([IUV[..., :1], IUV[..., 1:] / 255], axis=2)


def record(key: str) -> Record:
    return Record(key, "all", 0, 0, 8, 6, "00" * 32)


def save(path: Path, **arrays: np.ndarray) -> Path:
    """Write a map as PNG, .npy or .npz by its name; one array, or several for an .npz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = next(iter(arrays.values()))
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, **arrays)  # type: ignore[arg-type]
    else:
        stored = array[..., ::-1] if array.ndim == 3 else array
        path.write_bytes(cv2.imencode(".png", stored)[1].tobytes())
    return path


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("q/a.jpg", "q/a_IUV.png"),
        ("q/a.jpg", "q/a_IUV.PNG"),
        ("q/a.jpg", "q/a_iuv.png"),
        ("q/a.jpg", "q/a.jpg_IUV.png"),
        ("q/a.jpg", "elsewhere/a.jpg_iuv.png"),
        ("q/a.jpg", "q/a.png"),
        ("q/a.jpg", "q/a.jpg.png"),
        ("q/a.jpg", "q/a_IUV.npy"),
        ("q/a.jpg", "q/a.npz"),
        (unicodedata.normalize("NFC", "q/ä.jpg"), unicodedata.normalize("NFD", "q/ä_IUV.png")),
        (unicodedata.normalize("NFD", "q/ä.jpg"), unicodedata.normalize("NFC", "q/ä.png")),
    ],
)
def test_names(tmp_path: Path, key: str, name: str) -> None:
    save(tmp_path / name, iuv=IUV)
    save(tmp_path / name.replace("a", "b").replace("ä", "b").replace("ä", "b"), iuv=IUV)
    engine = Imported(tmp_path, [record(key)])
    assert (engine.find(record(key)).read(record(key)).iuv == IUV).all()
    assert len(engine.unused) == 1


def test_a_name_of_an_ending_that_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a_IUV.jpg").write_bytes(images.encode_jpeg(IUV))
    with pytest.raises(ImageError, match=r"a_IUV\.jpg: maps are read from \.npy, \.npz, \.png only"):
        Imported(tmp_path, [record("a.jpg")])


def test_two_names_for_one_image(tmp_path: Path) -> None:
    for name in ("a_IUV.png", "a.jpg_IUV.png"):
        save(tmp_path / name, iuv=IUV)
    with pytest.raises(ImageError, match=r"both fit a\.jpg.*or remove one"):
        Imported(tmp_path, [record("a.jpg")])


@pytest.mark.parametrize(
    ("ending", "arrays"),
    [
        (".png", {"iuv": IUV}),
        (".png", {"iuv": np.concatenate([IUV, np.full((6, 8, 1), 255, np.uint8)], axis=2)[..., [3, 0, 1, 2]]}),
        (".npy", {"iuv": IUV}),
        (".npy", {"iuv": IUV.transpose(2, 0, 1)}),
        (".npy", {"iuv": IUV.astype(np.int64)}),
        (".npy", {"iuv": IUV.astype(np.float32)}),
        (".npy", {"iuv": FRACTIONS}),
        (".npy", {"iuv": FRACTIONS.transpose(2, 0, 1).astype(np.float32)}),
        (".npz", {"arr_0": IUV}),
        (".npz", {"IUV": FRACTIONS, "scores": np.ones(1)}),
        (".npz", {"I": IUV[..., 0], "U": FRACTIONS[..., 1], "V": FRACTIONS[..., 2]}),
        (".npz", {"labels": IUV[..., 0], "uv": FRACTIONS[..., 1:].transpose(2, 0, 1)}),
    ],
)
def test_content(tmp_path: Path, ending: str, arrays: dict[str, np.ndarray]) -> None:
    path = save(tmp_path / f"a_IUV{ending}", **arrays)
    assert (decode_map(path.read_bytes(), path).values == IUV).all()


def cut_to_whole(dtype: type) -> np.ndarray:
    """Return a map whose u and v are 0 and 1 only."""
    return np.concatenate([IUV[..., :1], IUV[..., 1:] // 200], axis=2).astype(dtype)


@pytest.mark.parametrize(
    ("ending", "array", "message"),
    [
        (".png", IUV[..., 0], "three equal channels, so that it is no I, U, V map but one channel"),
        (".png", IUV[..., :1].repeat(3, 2), "three equal channels"),
        (".png", (IUV > 0).astype(np.uint8) * np.array([1, 0, 1], np.uint8), "U and V of 0 and 1 only"),
        (".png", np.concatenate([IUV[..., :1], IUV[..., 1:] // 200], axis=2), "U and V of 0 and 1 only"),
        (".png", IUV.astype(np.uint16), "16 bits a channel, expected 8"),
        (".npy", IUV[..., 0], r"array uint8 \(6, 8\), expected numbers \(H, W, 3\)"),
        (".npy", IUV[..., :2], "expected numbers"),
        (".npy", IUV > 0, "array bool"),
        (".npy", np.full((6, 8, 3), "a"), "array <U1"),
        (".npy", np.array([{}]), "is not a NumPy file of numbers"),
        (".npy", np.where(FRACTIONS > 0.5, np.nan, FRACTIONS), "has values from nan"),
        (".npy", -FRACTIONS, "has values from -"),
        (".npy", FRACTIONS[..., ::-1].copy(), "has values from .*expected I from 0 to 24 first"),
        (".npy", IUV.astype(np.int32) + 300, "has values from 300"),
        (".npy", (IUV > 0).astype(np.int32), "three equal channels|U and V of 0 and 1 only"),
        (".npy", cut_to_whole(np.float32), "U and V of 0 and 1 only"),
        (".npy", cut_to_whole(np.float64), "U and V of 0 and 1 only"),
    ],
)
def test_content_that_is_no_map_is_refused(tmp_path: Path, ending: str, array: np.ndarray, message: str) -> None:
    save(tmp_path / f"a_IUV{ending}", iuv=array)
    for channels in ("auto", "rgb", "bgr"):
        with pytest.raises(ImageError, match=rf"a_IUV\{ending} .*(?:{message})"):
            Imported(tmp_path, [record("a.jpg")], channels)  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04 not a zip"])
@pytest.mark.parametrize("ending", [".png", ".npy", ".npz"])
def test_damaged_files_are_named(tmp_path: Path, ending: str, data: bytes) -> None:
    with pytest.raises(ImageError, match=rf"a_IUV\{ending} (is not a NumPy file|does not decode)"):
        decode_map(data, tmp_path / f"a_IUV{ending}")


def test_a_map_without_a_person_and_one_of_few_pixels_are_maps(tmp_path: Path) -> None:
    iuv = np.zeros((6, 8, 3), np.uint8)
    path = save(tmp_path / "a_IUV.png", iuv=iuv)
    assert not decode_map(path.read_bytes(), path).values.any()
    iuv[2, 2] = 5, 0, 1
    assert (decode_map(save(path, iuv=iuv).read_bytes(), path).values == iuv).all()


@pytest.mark.parametrize(
    ("name", "expected"), [("a_IUV.png", True), ("x/a_iuv.JPG", True), ("IUV.png", False), ("a.png", False)]
)
def test_maps_are_known_by_name(name: str, expected: bool) -> None:
    assert is_map(name) == expected


def archive(path: Path, **arrays: np.ndarray) -> bytearray:
    np.savez_compressed(path, **arrays)
    return bytearray(path.read_bytes())


def flag(data: bytearray, local: int, central: int, value: int) -> bytes:
    """Return an archive with one byte of its headers changed, in both places that a zip file has it."""
    data[data.index(b"PK\3\4") + local] = data[data.rindex(b"PK\1\2") + central] = value
    return bytes(data)


def inflating(path: Path) -> bytes:
    return bytes(archive(path, iuv=np.zeros((1200, 1200, 3))))


def cut_in_the_middle(path: Path) -> bytes:
    data = archive(path, iuv=np.random.default_rng(0).integers(0, 25, (40, 40, 3), dtype=np.uint8))
    data[200:260] = bytes(60)
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: flag(archive(path, iuv=IUV), 8, 10, 99), "compression"),
        (lambda path: flag(archive(path, iuv=IUV), 6, 8, 1), "encrypted|password"),
        (cut_in_the_middle, "."),
        (lambda path: bytes(archive(path, iuv=IUV))[:-30], "zip"),
        (inflating, "it states 34560[0-9]* bytes, more than a map of 10000 pixels"),
    ],
    ids=["another compression", "encrypted", "damaged", "cut short", "inflating"],
)
def test_archives_that_are_no_map(tmp_path: Path, monkeypatch, make, reason: str) -> None:
    monkeypatch.setenv("DSA_MAX_PIXELS", "10000")
    path = tmp_path / "a_IUV.npz"
    data = make(path)
    with pytest.raises(
        ImageError, match=rf"a_IUV\.npz is not a NumPy file of numbers \(.*(?:{reason}).*\)\. Save it again"
    ):
        decode_map(data, path)


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_a_header_that_claims_terabytes_is_refused_before_memory_is(tmp_path: Path, ending: str) -> None:
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "<f8", "fortran_order": False, "shape": (2**20, 2**19, 3)})
    data = written.getvalue() + bytes(24)
    if ending == ".npz":
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as opened:
            opened.writestr("iuv.npy", data)
        data = archive.getvalue()
    with pytest.raises(ImageError, match=r"it states an array of \(1048576, 524288, 3\) and is shorter"):
        decode_map(data, tmp_path / f"a{ending}")
