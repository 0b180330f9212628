"""Maps of 16 bits a coordinate: no pixel lands on another texel than its exact u and v would, at any entrance."""

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from densepose_extract.cli import main as extract
from densepose_extract.engines.placing import paste
from densepose_extract.packed import Packed, pack
from dsa_data import images
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.header import Header
from dsa_data.stores.iuv import IuvMap, IuvStore, quantise, refine, widen, write_iuv
from dsap.cli import main as dsap
from dsap.warp import landings

ROWS = 1_000  # points along u and along v of the measurement


def points(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return charts, u and v, (ROWS, ROWS) each, uniform."""
    rng = np.random.default_rng(seed)
    u, v = rng.random((2, ROWS, ROWS), np.float32)
    return rng.integers(1, 25, (ROWS, ROWS)).astype(np.uint8), u, v


def exact_texels(chart: np.ndarray, u: np.ndarray, v: np.ndarray, size: int) -> np.ndarray:
    """Return the texel of each pixel from its exact coordinates, as `landings` numbers them."""
    row, column = (np.minimum(np.floor(x.astype(np.float64) * size), size - 1).astype(int) for x in (u, v))
    return (((chart.astype(int) - 1) * size + row) * size + column).ravel()


@pytest.mark.parametrize(
    ("size", "most8", "most16"),
    [(16, 0.03, 0), (32, 0.06, 0), (64, 0.12, 0), (256, 0.50, 0), (24, 0.05, 0.0004), (100, 0.2, 0.002)],
)
def test_pixels_on_another_texel(size: int, most8: float, most16: float) -> None:
    chart, u, v = points()
    exact, iuv = exact_texels(chart, u, v, size), quantise(chart, u, v)
    _, coarse = landings(iuv, size)
    _, fine = landings(iuv, size, refine(chart, u, v))
    assert 0 < (coarse != exact).mean() < most8
    assert (fine != exact).mean() <= most16


def test_ends_of_the_scale_and_background() -> None:
    ends = np.array([0, 1 - 2**-24, 1, 0.5], np.float32)
    chart = np.array([1, 24, 3, 0], np.uint8)
    assert refine(chart, ends, ends)[:, 0].tolist() == [0, 65535, 65535, 0]


@pytest.mark.parametrize("size", range(2, 257))
def test_bytes_in_16_bits_have_the_texels_of_8(size: int) -> None:
    byte = np.arange(256, dtype=np.uint8)
    iuv = np.stack([np.full_like(byte, 7), byte, byte[::-1]], axis=1)[None]
    assert (landings(iuv, size)[1] == landings(iuv, size, widen(iuv))[1]).all()


def maps16() -> list[IuvMap]:
    chart, u, v = (array[:5, :7] for array in points())
    chart[0] = 0
    fine = refine(chart, u, v)
    person = IuvMap(quantise(chart, u, v), 1.0, np.arange(4.0), "found", "0f" * 32, "f0" * 32, fine)
    nobody = IuvMap(np.zeros((5, 7, 3), np.uint8), 0.0, np.arange(4.0), "none", "0f" * 32, "f0" * 32)
    return [person, nobody]


def write(path: Path, bits: int) -> IuvStore:
    shapes = np.array([(5, 7)] * 2)
    return IuvStore(write_iuv(path, Header("x", {}, ""), ["a", "b"], shapes, maps16(), bits))


def test_a_store_of_16_bits_is_version_2_and_one_of_8_version_1(tmp_path: Path) -> None:
    coarse, fine = write(tmp_path / "8.h5", 8), write(tmp_path / "16.h5", 16)
    assert [(store.bits, int(store.file.attrs["version"])) for store in (coarse, fine)] == [(8, 1), (16, 2)]
    assert "fine" not in coarse.file
    for index, expected in enumerate(maps16()):
        assert (coarse.read(index).iuv == expected.iuv).all()
        assert coarse.read(index).fine is None
        read = fine.read(index)
        assert (read.iuv == expected.iuv).all()
        assert read.fine is not None
        assert (read.fine == (0 if expected.fine is None else expected.fine)).all()
    assert coarse.checksums[0] != fine.checksums[0]


def test_damaged_16_bits_are_damage(tmp_path: Path) -> None:
    import h5py

    from dsa_app.errors import StoreError

    write(tmp_path / "16.h5", 16).close()
    with h5py.File(tmp_path / "16.h5", "r+") as file:
        file["fine"][20, 0] ^= 1
    with pytest.raises(StoreError, match="the map of a is damaged"):
        IuvStore(tmp_path / "16.h5").read(0)


def test_pieces_keep_16_bits() -> None:
    packed = Packed(pack(maps16(), ["", ""]))
    person, nobody = (packed.read(index) for index in range(2))
    assert (person.fine == maps16()[0].fine).all()
    assert (person.iuv == maps16()[0].iuv).all()
    assert nobody.fine is None


def test_a_network_places_16_bits_where_it_places_8() -> None:
    chart, u, v = (torch.from_numpy(array[:6, :5].copy()) for array in points())
    iuv, fine = np.zeros((4, 8, 3), np.uint8), np.zeros((4, 8, 2), np.uint16)
    paste(iuv, chart.long(), torch.stack([u * 1.2 - 0.1, v]), -1, -2, fine)  # two rows and one column are outside
    clamped = (u * 1.2 - 0.1).clamp(0, 1).numpy()
    assert (fine[:4, :4] == refine(chart.numpy(), clamped, v.numpy())[2:, 1:]).all()
    assert (fine[:, 4:] == 0).all()
    assert (iuv[:4, :4] == quantise(chart.numpy(), clamped, v.numpy())[2:, 1:]).all()


def call(group: object, *arguments: object) -> Result:
    result = CliRunner().invoke(group, [str(argument) for argument in arguments])  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result


def build(folder: Path, bits: int) -> DsapStore:
    """Import the maps of a folder of images, warp them at S = 32, and return the store of part images."""
    iuv, out = folder.parent / f"{bits}" / "iuv.h5", folder.parent / f"{bits}" / "dsap.h5"
    call(extract, "import", "--from", folder, "--pictures", folder, "--out", iuv, "--set", f"extract.bits={bits}")
    call(dsap, "build", "--pictures", folder, "--iuv", iuv, "--out", out)
    return DsapStore(out)


@pytest.mark.parametrize("form", ["float", "bytes"])
def test_from_the_files_to_the_part_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "x"
    chart, u, v = (array[:40, :40] for array in points())
    folder.mkdir()
    images.write_png(folder / "a.png", np.random.default_rng(0).integers(1, 256, (40, 40, 3), dtype=np.uint8))
    exact = np.stack([chart, u, v], axis=2)
    np.save(folder / "a_IUV.npy", exact if form == "float" else quantise(chart, u, v))
    coarse, fine = build(folder, 8), build(folder, 16)
    assert IuvStore(tmp_path / "16" / "iuv.h5").header.configuration == {"engine": "import", "bits": 16}
    landed = np.zeros(24 * 32 * 32, bool)
    landed[exact_texels(chart, u, v, 32)] = True
    if form == "float":
        assert (fine.read(0)[1].ravel() == landed).all()
        assert not (coarse.read(0)[1].ravel() == landed).all()
    else:
        assert (fine.read(0)[0] == coarse.read(0)[0]).all()


def test_other_bits_are_refused() -> None:
    result = CliRunner().invoke(extract, ["run", "--dataset", "market1501", "--bits", "12"])
    assert result.exit_code == 2
    assert "bits = 12 is invalid: Input should be 8 or 16" in result.stderr


def test_rendered_maps_have_8_bits(tmp_path: Path) -> None:
    from densepose_extract.config import ExtractConfig
    from densepose_extract.engines.make import make_engine
    from dsa_app.errors import ConfigError

    with pytest.raises(ConfigError, match=r"extract\.bits = 16 is invalid for the engine rendered"):
        make_engine(ExtractConfig(engine="rendered", bits=16), "synthetic", tmp_path, [])
