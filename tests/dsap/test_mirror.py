"""The mirror: the table of the contracts, involution, agreement with flipped images, gradients of real maps."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from dsa_app.errors import ConfigError
from dsa_data import images
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import Scene, mirror_scene, render
from dsa_data.synthetic.shots import plan, scene_of
from dsap.coarse import crop
from dsap.mirror import mirror, mirror_iuv, read_symmetry, texel_permutation
from dsap.warp import warp
from dsap_cases import fields, pairs, real_maps

PARTNERS = {chart: chart + 1 if chart % 2 else chart - 1 for chart in range(3, 25)} | {1: 1, 2: 2}


def slow_mirror(parts: np.ndarray) -> np.ndarray:
    """The table of docs/design/contracts.md as a loop. parts (24, S, S, ...)."""
    mirrored = np.empty_like(parts)
    for chart in range(1, 25):
        source = parts[PARTNERS[chart] - 1]
        if chart in (1, 2):
            source = source[:, ::-1]  # columns reversed
        if chart in (3, 4, 5, 6, 23, 24):
            source = source[::-1]  # rows reversed
        mirrored[chart - 1] = source
    return mirrored


@settings(max_examples=30, deadline=None)
@given(size=st.integers(2, 33), seed=st.integers(0, 1000))
def test_equals_the_table_and_is_an_involution(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    texels = rng.integers(0, 256, (24, size, size, 3), dtype=np.uint8)
    valid = rng.random((24, size, size)) < 0.5
    mirrored, reached = mirror(texels, valid)
    assert (mirrored == slow_mirror(texels)).all()
    assert (reached == slow_mirror(valid)).all()
    again, still = mirror(mirrored, reached)
    assert (again == texels).all()
    assert (still == valid).all()


def test_many_at_once() -> None:
    rng = np.random.default_rng(0)
    texels = rng.integers(0, 256, (2, 3, 24, 4, 4, 3), dtype=np.uint8)
    valid = rng.random((2, 3, 24, 4, 4)) < 0.5
    mirrored, reached = mirror(texels, valid)
    assert (mirrored[1, 2] == slow_mirror(texels[1, 2])).all()
    assert (reached[1, 2] == slow_mirror(valid[1, 2])).all()


def test_the_permutation_indexes_torch_tensors() -> None:
    texels = np.random.default_rng(0).integers(0, 256, (2, 24, 8, 8, 3), dtype=np.uint8)
    mirrored = torch.from_numpy(texels).flatten(1, 3)[:, torch.tensor(texel_permutation(8))]  # (B, 24*S*S, 3)
    expected = np.stack([slow_mirror(parts) for parts in texels])
    assert (mirrored.view(2, 24, 8, 8, 3).numpy() == expected).all()


@settings(max_examples=30, deadline=None)
@given(pair=pairs())
def test_coarse_parts_of_the_flipped_image_are_the_mirrored_ones(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """At S = 16 no texel's middle lies between two pixels of a box of 12 or less."""
    image, iuv = pair
    texels, valid = crop(image[:, ::-1], mirror_iuv(iuv), 16)
    mirrored, reached = mirror(*crop(image, iuv, 16), parts="coarse")
    assert (valid == reached).all()
    assert (texels == mirrored).all()


@settings(max_examples=50, deadline=None)
@given(pair=pairs())
def test_a_map_mirrored_twice_is_itself(pair: tuple[np.ndarray, np.ndarray]) -> None:
    iuv = pair[1]
    assert (mirror_iuv(mirror_iuv(iuv)) == iuv).all()
    assert mirror_iuv(iuv).dtype == np.uint8


@settings(max_examples=80, deadline=None)
@given(pair=pairs(), size=st.integers(2, 80).filter(lambda size: math.gcd(size, 255) == 1))
def test_parts_of_the_flipped_image_are_the_mirrored_ones(pair: tuple[np.ndarray, np.ndarray], size: int) -> None:
    """Exact if no byte lies on the border of two texels, and if the order of colliding pixels does not matter."""
    image, iuv = pair
    texels, valid = warp(image[:, ::-1], mirror_iuv(iuv), size, "mean")
    mirrored, reached = mirror(*warp(image, iuv, size, "mean"))
    assert (valid == reached).all()
    assert (texels == mirrored).all()


@pytest.mark.parametrize("size", [15, 30, 34, 51])
def test_on_a_border_of_texels_the_mirror_is_off_by_one(size: int) -> None:
    byte = np.arange(256)
    texel = np.minimum(byte * size // 255, size - 1)
    reverse = np.minimum((255 - byte) * size // 255, size - 1)
    off = reverse != size - 1 - texel
    inner = (byte > 0) & (byte < 255)
    assert (off == ((byte * size % 255 == 0) & inner)).all()
    assert (np.abs(reverse - (size - 1 - texel)) <= 1).all()


def test_mirrored_real_maps_have_the_gradients_of_real_maps(shared: Path) -> None:
    maps = real_maps(shared)
    gradient, turn = fields(maps)
    mirrored, mirrored_turn = fields([mirror_iuv(iuv) for iuv in maps])
    assert (np.sign(turn) == np.sign(mirrored_turn)).all()
    lengths = np.linalg.norm(gradient, axis=1) * np.linalg.norm(mirrored, axis=1)
    likeness = (gradient * mirrored).sum(axis=1) / lengths
    posed_freely = np.isin(np.arange(1, 25), [3, 4, 5, 6])  # hands and feet point anywhere
    assert (likeness[~posed_freely] > 0.95).all()
    assert (likeness[posed_freely] > 0.3).all()


def test_real_maps_refute_a_mirror_without_reversals(shared: Path) -> None:
    maps = real_maps(shared)
    _, turn = fields(maps)
    swap = np.array([0, *(PARTNERS[chart] for chart in range(1, 25))], np.uint8)
    plain = [np.concatenate([swap[iuv[:, ::-1, :1]], iuv[:, ::-1, 1:]], axis=2) for iuv in maps]
    wrong = np.sign(fields(plain)[1]) != np.sign(turn)
    assert (np.flatnonzero(wrong) + 1).tolist() == [1, 2, 3, 4, 5, 6, 23, 24]


def test_real_photograph_flipped(shared: Path) -> None:
    image, iuv = images.read(shared / "real" / "front1.png"), real_maps(shared)[0]
    texels, valid = warp(image[:, ::-1], mirror_iuv(iuv), 32, "mean")
    mirrored, reached = mirror(*warp(image, iuv, 32, "mean"))
    assert (valid == reached).all()
    assert (texels == mirrored).all()


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    """Twenty people of the synthetic dataset, each in one image."""
    config = SynthConfig(train_identities=20, test_identities=1)
    return [scene_of(config, shots[0]) for shots in plan(config)[:20]]


@pytest.mark.parametrize(("size", "equal"), [(16, 0.9), (32, 0.98), (64, 0.99)])
def test_parts_of_the_mirrored_person_are_the_mirrored_parts(scenes: list[Scene], size: int, equal: float) -> None:
    """Where pixels collide, "last" keeps another one in the mirror; all other texels are the same."""
    both = same = 0
    for scene in scenes:
        (image, iuv), (mirror_image, mirror_map) = render(scene), render(mirror_scene(scene))
        texels, valid = warp(mirror_image, mirror_map, size, "mean")
        expected, reached = mirror(*warp(image, iuv, size, "mean"))
        assert (valid == reached).all()
        assert (texels == expected).all()
        last, kept = warp(mirror_image, mirror_map, size)[0], mirror(*warp(image, iuv, size))[0]
        both += valid.sum()
        same += (last == kept).all(axis=3)[valid].sum()
    assert same / both > equal


def symmetry_file(path: Path) -> Path:
    """Write a table like DensePose's with the measured rule."""
    byte = np.arange(256) / 255
    cells = np.empty((2, 1, 24), object)
    for chart in range(1, 25):
        u, v = np.meshgrid(byte, byte)  # [v, u]
        cells[0, 0, chart - 1] = 1 - u if chart in (3, 4, 5, 6, 23, 24) else u
        cells[1, 0, chart - 1] = 1 - v if chart in (1, 2) else v
    savemat(path, {"U_transforms": cells[0], "V_transforms": cells[1]})
    return path


def test_a_symmetry_table_of_the_rule_is_the_rule(tmp_path: Path) -> None:
    symmetry = read_symmetry(symmetry_file(tmp_path / "UV_symmetry_transforms.mat"))
    rng = np.random.default_rng(0)
    iuv = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8) * (rng.random((20, 20, 1)) < 0.8)
    iuv[..., 0] = np.where(iuv.any(axis=2), iuv[..., 0] % 24 + 1, 0)
    assert (mirror_iuv(iuv, symmetry) == mirror_iuv(iuv)).all()
    for size in (2, 16, 32, 64):
        assert (texel_permutation(size, symmetry=symmetry) == texel_permutation(size)).all()


def test_a_symmetry_table_moves_points_as_it_states(tmp_path: Path) -> None:
    path = symmetry_file(tmp_path / "UV_symmetry_transforms.mat")
    symmetry = read_symmetry(path).copy()
    symmetry[:, 7 - 1, 8, 24] = 100, 200  # of upper leg 7: v = 8, u = 24, the middle of texel (1, 0) at S = 16
    iuv = np.array([[[7, 24, 8]]], np.uint8)
    assert mirror_iuv(iuv, symmetry).tolist() == [[[8, 100, 200]]]
    assert mirror_iuv(np.zeros_like(iuv), symmetry).tolist() == [[[0, 0, 0]]]
    texels = np.zeros((24, 16, 16, 3), np.uint8)
    texels[8 - 1, 100 * 16 // 255, 200 * 16 // 255] = 9  # on the partner
    mirrored, _ = mirror(texels, texels[..., 0] > 0, symmetry=symmetry)
    assert mirrored[7 - 1, 24 * 16 // 255, 8 * 16 // 255].tolist() == [9, 9, 9]


def test_another_file_than_a_symmetry_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.mat"
    with pytest.raises(ConfigError, match=r"other\.mat does not exist"):
        read_symmetry(path)
    path.write_bytes(b"no MATLAB file")
    with pytest.raises(ConfigError, match=r"other\.mat is not a UV_symmetry_transforms\.mat"):
        read_symmetry(path)
    savemat(path, {"U_transforms": np.zeros(3)})
    with pytest.raises(ConfigError, match=r"other\.mat"):
        read_symmetry(path)
