"""A tiny dataset with true maps: random images in Market-1501's layout, and an IUV image for each."""

from pathlib import Path

import numpy as np

from dsa_data import images
from dsa_data.records import Entry, index, write_manifest
from dsa_data.sets import market1501


def write_iuv_image(path: Path, iuv: np.ndarray, order: str = "rgb") -> Path:
    """Write I, U, V (H, W, 3) as a PNG whose chart is the first ("rgb") or last channel when read as RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return images.write_png(path, np.ascontiguousarray(iuv if order == "rgb" else iuv[..., ::-1]))


def random_iuv(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a map (H, W, 3): random charts, U and V in the middle, background around."""
    rng = np.random.default_rng(seed)
    iuv = np.zeros((height, width, 3), np.uint8)
    body = iuv[1:-1, 2:-2]
    body[..., 0] = rng.integers(1, 25, body.shape[:2])
    body[..., 1:] = rng.integers(0, 256, (*body.shape[:2], 2))
    return iuv


def write_true_maps(root: Path) -> list[Entry]:
    """Write a true map for every image under `root`, as the synthetic dataset has them; the first has no person."""
    entries = sorted(market1501.scan(root), key=lambda entry: entry.key)
    for number, entry in enumerate(entries):
        height, width = images.read(root / entry.key).shape[:2]
        iuv = random_iuv(height, width, number) if number else np.zeros((height, width, 3), np.uint8)
        write_iuv_image(root / "iuv" / f"{Path(entry.key).with_suffix('')}_IUV.png", iuv)
    return entries


def list_images(root: Path, manifest: Path) -> Path:
    """Write the manifest of a dataset in Market-1501's layout."""
    return write_manifest(index(root, market1501.scan(root)), manifest)


def write_many_images(root: Path, count: int) -> Path:
    """Write a dataset of `count` small training images with true maps, and one image in each other split."""
    rng = np.random.default_rng(1)
    names = [f"bounding_box_train/{2 + n // 4:04}_c{1 + n % 4}s1_{n:06}_01.jpg" for n in range(count)]
    names += ["query/0001_c1s1_000000_01.jpg", "bounding_box_test/0001_c2s1_000000_01.jpg"]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(images.encode_jpeg(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8)))
    write_true_maps(root)
    return root
