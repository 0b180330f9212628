"""The mirror rule: how a horizontal flip of an image changes its map and its part images. No other module has it.

A flipped image shows a mirrored person: left and right charts are exchanged, and in some of them u or v is reversed.
The rule was measured on real DensePose maps (docs/design/contracts.md). Their charts follow it only approximately,
since each side was unwrapped separately; DensePose's own `UV_symmetry_transforms.mat` gives the exact correspondence,
and every function here accepts it as `symmetry`.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from dsa_app.errors import ConfigError
from dsa_app.guard import guarded
from dsa_data.charts import CHARTS, PARTNER
from dsa_data.matlab import read_mat

from .config import Parts

TORSO = (1, 2)
ENDS = (3, 4, 5, 6, 23, 24)  # hands, feet, head

NUMBERS = np.arange(CHARTS + 1)  # charts, with 0 for the background
REVERSES_U = np.isin(NUMBERS, ENDS)  # charts on which U becomes 255 - U: rows reversed
REVERSES_V = np.isin(NUMBERS, TORSO)  # charts on which V becomes 255 - V: columns reversed


def mirror(
    texels: np.ndarray, valid: np.ndarray, parts: Parts = "fine", symmetry: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the part images of the flipped image.

    Args:
        texels: (..., 24, S, S, 3).
        valid: (..., 24, S, S).
        parts, symmetry: see `texel_permutation`.
    """
    source = texel_permutation(texels.shape[-2], parts, symmetry)
    flat = texels.reshape(*texels.shape[:-4], source.size, texels.shape[-1])
    mask = valid.reshape(*valid.shape[:-3], source.size)
    return flat[..., source, :].reshape(texels.shape), mask[..., source].reshape(valid.shape)


def mirror_iuv(iuv: np.ndarray, symmetry: np.ndarray | None = None) -> np.ndarray:
    """Return the map of the flipped image.

    Args:
        iuv: uint8 (H, W, 3), charts 0..24.
        symmetry: see `read_symmetry`.
    """
    chart, u, v = np.moveaxis(iuv[:, ::-1], 2, 0)
    if symmetry is None:
        u, v = np.where(REVERSES_U[chart], 255 - u, u), np.where(REVERSES_V[chart], 255 - v, v)
    else:
        u, v = symmetry[:, chart.astype(np.intp) - 1, v, u] * (chart > 0)
    return np.stack([PARTNER[chart].astype(np.uint8), u, v], axis=2)


def texel_permutation(size: int, parts: Parts = "fine", symmetry: np.ndarray | None = None) -> np.ndarray:
    """Return the texel that each mirrored texel is copied from.

    Args:
        size: S.
        parts: "coarse" parts are crops of the image: they are exchanged with their partners and flipped like the image.
        symmetry: of fine parts, see `read_symmetry`. With it some texels are copied twice and others not at all, where
            a chart and its partner have different scales.

    Returns:
        int64 (24*S*S,): with texels flattened over (24, S, S), `mirrored = flat[permutation]`, in NumPy as in torch.
    """
    return _measured(size, parts) if symmetry is None else _looked_up(size, symmetry)


@cache
def _measured(size: int, parts: Parts) -> np.ndarray:
    number = np.arange(CHARTS * size * size).reshape(CHARTS, size, size)
    source = number[PARTNER[1:] - 1]  # (24, S, S)
    rows, columns = (
        (REVERSES_U[1:], REVERSES_V[1:]) if parts == "fine" else (np.zeros(CHARTS, bool), np.ones(CHARTS, bool))
    )
    source[rows] = source[rows, ::-1]
    source[columns] = source[columns, :, ::-1]
    source.flags.writeable = False  # the cached array is shared by all callers
    return np.asarray(source.ravel())


def _looked_up(size: int, symmetry: np.ndarray) -> np.ndarray:
    # Look up the middle of each texel, as a byte of U or V; the mirrored byte gives the texel to copy.
    middle = (255 * (2 * np.arange(size) + 1) + size - 1) // (2 * size)
    u, v = symmetry[:, :, middle[None, :], middle[:, None]].astype(np.intp)  # each (24, S, S): rows U, columns V
    row, column = np.minimum(u * size // 255, size - 1), np.minimum(v * size // 255, size - 1)
    chart = (PARTNER[1:] - 1)[:, None, None]
    return np.asarray(((chart * size + row) * size + column).ravel())


def read_symmetry(path: Path) -> np.ndarray:
    """Read DensePose's `UV_symmetry_transforms.mat`.

    Returns:
        uint8 (2, 24, 256, 256): U and V on the partner of chart c of the point that is mirrored from byte values
        v and u on c, at [:, c - 1, v, u].

    Raises:
        ConfigError: if the file is missing or is another file, or if SciPy is not installed.
    """
    if importlib.util.find_spec("scipy") is None:
        raise ConfigError(f"Reading {path} needs SciPy. Install it: pip install scipy.")
    if not path.is_file():
        raise ConfigError(f"{path} does not exist. Name DensePose's UV_symmetry_transforms.mat.")
    problem, remedy = "is not a UV_symmetry_transforms.mat", "Name DensePose's own."
    cells = read_mat(path, _CELLS, ConfigError, problem, remedy)
    with guarded(ConfigError, path, problem, remedy):
        tables = np.array([cells[name][:CHARTS].astype(float) for name in _CELLS])
    if tables.shape != (2, CHARTS, 256, 256) or not ((tables >= 0) & (tables <= 1)).all():
        raise ConfigError(f"{path}: expected {', '.join(_CELLS)}, each 24 cells of 256x256 in [0, 1].")
    return np.asarray(np.rint(255 * tables).astype(np.uint8))


_CELLS = ("U_transforms", "V_transforms")
