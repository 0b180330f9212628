"""Confidences in stage two: the surest pixel, the bytes of the store on every path, and maps of I alone."""

import dataclasses
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsa_app.errors import ConfigError, StoreError
from dsa_data import images
from dsa_data.records import read_manifest
from dsa_data.stores.dsap import DsapStore
from dsa_data.stores.iuv import IuvMap, IuvStore
from dsap import piece, stage
from dsap.coarse import crop, crop_sure
from dsap.config import Collision, WarpConfig
from dsap.export import export
from dsap.mirror import mirror, mirror_iuv
from dsap.show import Page
from dsap.stage import build
from dsap.verify import verify
from dsap.warp import warp, warp_sure
from dsap_cases import Case, pairs

SUREST = WarpConfig(size=4, collision="surest")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "GROUP", 3)


@st.composite
def sure_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image, its map, and confidences of few different values, so that several pixels share the highest."""
    image, iuv = draw(pairs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return image, iuv, rng.choice(np.array([0, 3, 200, 255], np.uint8), iuv.shape[:2])


def slow_surest(
    image: np.ndarray, iuv: np.ndarray, confidence: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A pixel overwrites its texel unless a surer one is there already."""
    texels, valid = np.zeros((24, size, size, 3), np.uint8), np.zeros((24, size, size), bool)
    best = np.full((24, size, size), -1)
    for y, x in np.ndindex(*iuv.shape[:2]):
        chart, u, v = (int(value) for value in iuv[y, x])
        texel = chart - 1, min(u * size // 255, size - 1), min(v * size // 255, size - 1)
        if chart and confidence[y, x] >= best[texel]:
            texels[texel], valid[texel], best[texel] = image[y, x], True, confidence[y, x]
    return texels, valid, np.where(valid, best, 0)


@settings(max_examples=150, deadline=None)
@given(pair=sure_pairs(), size=st.sampled_from([2, 3, 5, 32]))
def test_surest_equals_the_loop(pair: tuple[np.ndarray, np.ndarray, np.ndarray], size: int) -> None:
    image, iuv, confidence = pair
    expected = slow_surest(image, iuv, confidence, size)
    for found, wanted in zip(warp_sure(image, iuv, confidence, size, "surest"), expected, strict=True):
        assert (found == wanted).all()
    texels, valid = warp(image, iuv, size, "surest", confidence=confidence)
    assert (texels == expected[0]).all()
    assert (valid == expected[1]).all()


@settings(max_examples=60, deadline=None)
@given(pair=sure_pairs(), size=st.sampled_from([2, 5, 16]), collision=st.sampled_from(["last", "mean"]))
def test_the_other_rules_do_not_depend_on_it(
    pair: tuple[np.ndarray, np.ndarray, np.ndarray], size: int, collision: Collision
) -> None:
    image, iuv, confidence = pair
    texels, valid, sure = warp_sure(image, iuv, confidence, size, collision)
    expected = warp(image, iuv, size, collision)
    assert (texels == expected[0]).all()
    assert (valid == expected[1]).all()
    # A confidence goes the way of a colour: as the red of an image it lands on the same texels.
    as_colour = np.repeat(confidence[..., None], 3, axis=2)
    assert (sure == warp(as_colour, iuv, size, collision)[0][..., 0]).all()


@settings(max_examples=60, deadline=None)
@given(pair=sure_pairs(), size=st.sampled_from([2, 5, 16]))
def test_equal_confidences_are_the_default(pair: tuple[np.ndarray, np.ndarray, np.ndarray], size: int) -> None:
    image, iuv, confidence = pair
    equal = np.full_like(confidence, 9)
    assert (warp(image, iuv, size, "surest", confidence=equal)[0] == warp(image, iuv, size)[0]).all()


@settings(max_examples=40, deadline=None)
@given(pair=sure_pairs())
def test_coarse_parts_and_mirrored_copies(pair: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    image, iuv, confidence = pair
    texels, valid, sure = crop_sure(image, iuv, confidence, 5)
    assert (texels == crop(image, iuv, 5)[0]).all()
    as_colour = np.repeat(confidence[..., None], 3, axis=2)
    assert (sure == crop(as_colour, iuv, 5)[0][..., 0]).all()
    assert not sure[~valid].any()
    # The mirror's permutation is of texels, whatever they hold. At S = 256 a byte of U or V is a texel of its own; keep
    # one pixel a texel, so that the order of pixels, which a flip changes, does not matter.
    _, first = np.unique(iuv.reshape(-1, 3), axis=0, return_index=True)
    alone = np.zeros_like(iuv.reshape(-1, 3))
    alone[first] = iuv.reshape(-1, 3)[first]
    alone = alone.reshape(iuv.shape)
    _, reached, fine = warp_sure(image, alone, confidence, 256, "surest")
    flipped = warp_sure(image[:, ::-1], mirror_iuv(alone), np.ascontiguousarray(confidence[:, ::-1]), 256, "surest")
    mirrored, mask = mirror(fine[..., None], reached)
    assert (mask == flipped[1]).all()
    assert (mirrored[..., 0] == flipped[2]).all()


def test_surest_without_a_confidence() -> None:
    with pytest.raises(ConfigError, match="needs the map's confidence"):
        warp(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2, 3), np.uint8), 4, "surest")


def make(case: Case, config: WarpConfig = SUREST, out: Path | None = None, **options: object) -> bytes:
    """Build, and return the bytes built."""
    return build(case.manifest, case.iuv, out or case.out, config, case.root, **options).read_bytes()  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [SUREST, WarpConfig(size=4), WarpConfig(size=4, parts="coarse")], ids=str)
def test_what_the_store_holds(case: Case, config: WarpConfig) -> None:
    maps = case.make_sure_maps()
    make(case, config)
    records = read_manifest(case.manifest)
    with DsapStore(case.out) as store, IuvStore(case.iuv) as iuv:
        assert (store.version, store.has_confidence, store.has_charts) == (3, True, True)
        for index, (record, one) in enumerate(zip(records, maps, strict=True)):
            image = images.read(case.root / record.key)
            assert one.confidence is not None
            if config.parts == "coarse":
                expected = crop_sure(image, one.iuv, one.confidence, 4)
            else:
                expected = warp_sure(image, one.iuv, one.confidence, 4, config.collision)
            for found, wanted in zip((*store.read(index), store.read_confidence(index)), expected, strict=True):
                assert (found == wanted).all()
            assert (store.read_chart_confidence(index) == one.confidence).all()
        assert (store.read_confidences([2, 0])[1] == store.read_confidence(0)).all()
        assert list(verify(case.out, records, iuv)) == []


def test_one_confidence_an_image_is_that_of_every_texel(case: Case) -> None:
    maps = case.make_sure_maps("images")
    make(case, WarpConfig(size=4))
    with DsapStore(case.out) as store:
        for index, one in enumerate(maps):
            _, valid = store.read(index)
            expected = round(255 * one.image_confidence) * one.iuv[..., 0].any()
            assert (store.read_confidence(index) == expected * valid).all()
            assert (store.read_chart_confidence(index) == expected).all()
    with pytest.raises(ConfigError, match="needs a confidence at every pixel"):
        make(case, SUREST, overwrite=True)


def test_a_confidence_that_is_not_known_holds_nothing_against_a_map() -> None:
    one = IuvMap(np.full((1, 2, 3), 5, np.uint8), 1.0, np.zeros(4), "found", "", "")
    assert piece.pixel_confidence(one).tolist() == [[255, 255]]
    assert piece.pixel_confidence(dataclasses.replace(one, iuv=one.iuv * 0)).tolist() == [[0, 0]]


@pytest.mark.parametrize("jobs", [1, 2])
def test_same_bytes_for_workers_after_faults_and_changes(
    case: Case, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = case.make_sure_maps()
    whole = make(case, jobs=jobs)
    assert make(case, out=case.folder / "fresh.h5") == whole
    # A run that fails half way keeps its pieces, which the next one takes over.
    case.out.unlink()
    last = case.root / read_manifest(case.manifest)[-1].key
    data = last.read_bytes()
    last.write_bytes(b"")
    with pytest.raises(Exception, match=last.name):
        make(case)
    assert list((case.folder / "dsap.h5.pieces").glob("*-v3.npz"))
    last.write_bytes(data)
    warped: list[str] = []
    real = piece.warp_item
    monkeypatch.setattr(piece, "warp_item", lambda *given: warped.append(given[0].key) or real(*given))
    assert make(case) == whole
    assert 0 < len(warped) <= 3
    # One confidence of one map changes: that image alone is warped again.
    changed = maps[4].confidence
    assert changed is not None
    changed = changed.copy()
    changed[0, 0] ^= 1
    maps[4] = dataclasses.replace(maps[4], confidence=changed)
    with IuvStore(case.iuv) as store:
        header, keys = store.header, store.keys
    case.write_maps(header, keys, maps, 8, "pixels")
    warped.clear()
    taken_over = make(case)
    assert warped == [keys[4]]
    assert taken_over == make(case, out=case.folder / "again.h5")


@pytest.mark.parametrize("name", ["confidence", "chart_confidence"])
def test_damaged_confidences_are_found_and_made_again(case: Case, name: str) -> None:
    case.make_sure_maps()
    whole = make(case)
    with DsapStore(case.out) as store:
        chunk = store.chunk(3).sure
        assert chunk is not None
        frame = chunk.texels if name == "confidence" else chunk.charts
    middle = whole.index(frame) + len(frame) // 2
    case.out.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :])
    faults = [str(fault) for fault in verify(case.out)]
    assert len(faults) == 1
    assert faults[0].startswith(read_manifest(case.manifest)[3].key)
    assert make(case) == whole


def test_verify_finds_a_confidence_where_nothing_is(case: Case) -> None:
    case.make_sure_maps()
    make(case)
    with h5py.File(case.out, "r+") as file:
        values = np.full(file["confidence"].shape[1:], 9, np.uint8)
        file["confidence"][0] = values
        file["confidence_checksum"][0] = zlib.crc32(values.tobytes())
    assert [fault.what for fault in verify(case.out)] == ["has a confidence in texels that are not valid"]


def test_maps_with_and_without_a_confidence_are_told_apart(case: Case) -> None:
    before = make(case, WarpConfig(size=4))
    with DsapStore(case.out) as store:
        assert (store.version, store.has_confidence) == (2, False)
        with pytest.raises(StoreError, match="has no confidences"):
            store.read_confidence(0)
    case.make_sure_maps()
    make(case, WarpConfig(size=4))
    case.make_maps()
    assert make(case, WarpConfig(size=4)) == before


def test_maps_of_i_alone(case: Case) -> None:
    maps = case.make_sure_maps("none", 0)
    with pytest.raises(ConfigError, match=r"I alone, and fine part images need u and v.*warp\.parts=coarse"):
        make(case, WarpConfig(size=4))
    assert not case.out.exists()
    make(case, WarpConfig(size=4, parts="coarse"))
    with DsapStore(case.out) as store:
        assert store.version == 2
        key = store.keys[0]
        for index, one in enumerate(maps):
            image = images.read(case.root / store.keys[index])
            assert (store.read(index)[0] == crop(image, one.iuv, 4)[0]).all()
            if one.iuv.any():
                assert (store.read_charts(index) == one.iuv[..., 0]).all()
        page = Page(case.root, IuvStore(case.iuv), store)
        assert page.image(key).ndim == 3
        with pytest.raises(ConfigError, match="I alone"):
            page.image(key, compare=True)


def test_exports_hold_confidences(case: Case, tmp_path: Path) -> None:
    case.make_sure_maps()
    make(case)
    records = read_manifest(case.manifest, ["query", "gallery"])
    with DsapStore(case.out) as store:
        folder = export(store, records, tmp_path / "parts")
        confidence, end_to_end = np.load(folder / "confidence.npy"), np.load(folder / "chart_confidence.npy")
        start = 0
        for row, record in enumerate(records):
            index = store.index(record.key)
            assert (confidence[row] == store.read_confidence(index)).all()
            expected = store.read_chart_confidence(index)
            assert (end_to_end[start : start + expected.size].reshape(expected.shape) == expected).all()
            start += expected.size
        assert start == len(end_to_end)
        parquet = pytest.importorskip("pyarrow.parquet")
        table = parquet.read_table(export(store, records, tmp_path / "parts.parquet"))
        assert table["confidence"][0].as_py() == store.read_confidence(store.index(records[0].key)).tobytes()
        assert table["chart_confidence"].to_pylist()[-1]
