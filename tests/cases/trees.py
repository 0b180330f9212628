"""Tiny datasets in the layouts of the published ones, with the unexpected files of real downloads.

Every function writes one below `parent`, the parent folder of all datasets, and returns its folder.
"""

from collections.abc import Iterable
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from dsa_data import images
from dsa_data.sets.cuhk01 import read_splits

HEIGHT, WIDTH = 32, 16
PERSONS = (4, 3, 1, 1, 1)  # of CUHK03's pairs of cameras
FEWER = {(1, 2): (3, 5), (2, 1): (5, 2)}  # (pair, person): images of each camera, if not five and five


def noise_image(seed: int) -> np.ndarray:
    """Return noise around a random colour, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(-30, 30, (HEIGHT, WIDTH, 3))
    return (rng.integers(40, 215, 3) + noise).astype(np.uint8)


def random_iuv(seed: int) -> np.ndarray:
    """Return a map, uint8 (H, W, 3): random charts, U and V in the middle, background around."""
    rng = np.random.default_rng(seed)
    iuv = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    iuv[2:-2, 2:-2] = rng.integers((1, 0, 0), (25, 256, 256), (HEIGHT - 4, WIDTH - 4, 3))
    return iuv


def write_images(root: Path, names: Iterable[str]) -> Path:
    """Write an image of each name below `root`, as JPEG or PNG by its suffix."""
    for seed, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        encode = images.encode_jpeg if path.suffix in (".jpg", ".jpeg") else images.encode_png
        path.write_bytes(encode(noise_image(seed)))
    return root


def market1501(parent: Path, name: str = "market1501") -> Path:
    """Four training and three test identities, hand-drawn boxes, junk, a distractor, a Thumbs.db."""
    names = [f"bounding_box_train/{p:04}_c{c}s1_0{p:03}51_0{c}.jpg" for p in (2, 7, 9, 1500) for c in (1, 2, 3)]
    queries = [f"{p:04}_c{c}s1_0{p:03}01_00.jpg" for p in (1, 3, 5) for c in (1, 2)]
    names += [f"query/{query}" for query in queries]
    names += [f"bounding_box_test/{p:04}_c{c}s1_0{p:03}26_0{c}.jpg" for p in (1, 3, 5) for c in (1, 2, 3)]
    names += ["bounding_box_test/-1_c1s1_000001_01.jpg", "bounding_box_test/0000_c2s1_000002_01.jpg"]
    names += [f"gt_bbox/{query}" for query in queries]
    names += ["gt_bbox/0001_c1s1_000076_00.jpg", "gt_bbox/0001_c6s1_000076_00.jpg", "gt_bbox/0002_c1s1_000451_00.jpg"]
    root = write_images(parent / name, names)
    (root / "bounding_box_test" / "Thumbs.db").write_bytes(b"not an image")
    return root


def market1501_500k(parent: Path) -> Path:
    """Market-1501 with three further distractors, one of them with a test identity's number, and junk."""
    root = market1501(parent)
    names = ("0000_c1s1_000001_00.jpg", "0000_c3s1_000002_00.jpg", "0001_c2s1_000003_00.jpg", "-1_c1s1_000004_00.jpg")
    write_images(root, [f"images/{name}" for name in names])
    return root


def dukemtmcreid(parent: Path) -> Path:
    """Three training and two test identities, and one that only one camera saw."""
    names = [f"bounding_box_train/{p:04}_c{c}_f00461{c}{p % 10}.jpg" for p in (1, 2, 5) for c in (2, 8)]
    names += [f"query/{p:04}_c1_f004600{p % 10}.jpg" for p in (3, 4)]
    names += [f"bounding_box_test/{p:04}_c{c}_f00470{c}{p % 10}.jpg" for p in (3, 4) for c in (1, 5)]
    return write_images(parent / "dukemtmcreid", [*names, "bounding_box_test/0017_c3_f0058142.jpg"])


def cuhk03_np(parent: Path) -> Path:
    """Both kinds of boxes; three training and two test identities."""
    for boxes in ("labeled", "detected"):
        names = [f"bounding_box_train/{p:04}_c{c}_{n}.png" for p in (1, 2, 4) for c in (1, 2) for n in (5, 6)]
        names += [f"query/{p:04}_c{c}_1.png" for p in (3, 6) for c in (1, 2)]
        names += [f"bounding_box_test/{p:04}_c{c}_{n}.png" for p in (3, 6) for c in (1, 2) for n in (2, 3)]
        write_images(parent / "cuhk03-np" / boxes, names)
    return parent / "cuhk03-np"


def cuhk03_names() -> list[str]:
    """Return the names of the images in the tiny `cuhk-03.mat`, sorted."""
    names = []
    for pair, persons in enumerate(PERSONS, start=1):
        for person in range(1, persons + 1):
            first, second = FEWER.get((pair, person), (5, 5))
            numbers = [(1, n) for n in range(1, first + 1)] + [(2, n) for n in range(6, second + 6)]
            names += [f"{pair}_{person:03}_{camera}_{number:02}.png" for camera, number in numbers]
    return names


def cuhk03(parent: Path) -> Path:
    """The authors' file as MATLAB 7.3 writes it, with ten persons, and the new protocol's lists, with six to train."""
    root = parent / "cuhk03"
    root.mkdir()
    names = cuhk03_names()
    with h5py.File(root / "cuhk-03.mat", "w", userblock_size=512) as file:
        for kind, boxes in enumerate(("labeled", "detected")):
            tables = [_table(file, boxes, pair, 1000 * kind) for pair in range(1, 6)]
            file[boxes] = np.array([tables], h5py.ref_dtype)  # (1, 5): MATLAB's column of five, transposed
        tested = [[(1, 1 + n % 4), (2, 1 + n % 3)] for n in range(20)]
        sets = [_stored(file, f"test{n}", np.array(pairs, float).T) for n, pairs in enumerate(tested)]
        file["testsets"] = np.array([sets], h5py.ref_dtype)
    for boxes in ("labeled", "detected"):
        write_new_protocol(root / f"cuhk03_new_protocol_config_{boxes}.mat", names)
    return root


def write_new_protocol(path: Path, names: list[str], **changes: object) -> None:
    """Write a list of the new protocol: the first four and the last two persons are train.

    Of the others the first image of each camera is query, the rest gallery.
    """
    persons = [name[:5] for name in names]
    order = sorted(set(persons))
    splits, views = [], set()
    for name, person in zip(names, persons, strict=True):
        is_train = order.index(person) in (0, 1, 2, 3, len(order) - 2, len(order) - 1)
        view = (person, name[6])
        splits.append("train" if is_train else "gallery" if view in views else "query")
        views.add(view)
    columns: dict[str, object] = {
        "filelist": np.array(names, object)[:, None],
        "labels": np.array([[order.index(person) + 1] for person in persons], np.uint16),
        "camId": np.array([[int(name[6])] for name in names], np.uint8),
    }
    for split in ("train", "query", "gallery"):
        columns[f"{split}_idx"] = np.flatnonzero(np.array(splits) == split).astype(np.uint16)[:, None] + 1
    savemat(path, columns | changes)


def _table(file: h5py.File, boxes: str, pair: int, seed: int) -> h5py.Reference:
    """Store the cells of a pair of cameras, (10, persons) as MATLAB transposes them."""
    names = set(cuhk03_names())
    cells = np.empty((10, PERSONS[pair - 1]), h5py.ref_dtype)
    for number, person in np.ndindex(cells.shape):
        camera = 1 if number < 5 else 2
        name = f"{pair}_{person + 1:03}_{camera}_{number + 1:02}.png"
        seed += 1
        content = noise_image(seed).T if name in names else np.zeros(2, np.uint64)
        cells[number, person] = _stored(file, f"{boxes}_{name[:-4]}", content)
    return _stored(file, f"{boxes}_{pair}", cells)


def _stored(file: h5py.File, name: str, content: np.ndarray) -> h5py.Reference:
    dtype = h5py.ref_dtype if content.dtype == object else content.dtype
    return file.create_dataset(f"#refs#/{name}", data=content, dtype=dtype).ref


def cuhk01(parent: Path) -> Path:
    """Four persons who are train in the first split of both divisions, and four who are tested in both."""
    tested = set(read_splits(486)[0])
    narrow = set(read_splits(100)[0])
    trains = [pid for pid in range(1, 972) if pid not in tested | narrow][:4]
    tests = sorted(tested & narrow)[:4]
    names = [f"campus/{pid:04}{number:03}.png" for pid in (*trains, *tests) for number in (1, 2, 3, 4)]
    root = write_images(parent / "cuhk01", names)
    (root / "campus" / "Thumbs.db").write_bytes(b"not an image")
    return root


def msmt17(parent: Path, version: int = 1) -> Path:
    """Four training and three test identities, both counted from 0; `list_val.txt` has more training images."""
    train, test = ("train", "test") if version == 1 else ("mask_train_v2", "mask_test_v2")
    lists = {
        "list_train.txt": (train, [(pid, n) for pid in range(4) for n in (0, 1, 2)]),
        "list_val.txt": (train, [(pid, 3) for pid in range(4)]),
        "list_query.txt": (test, [(pid, 0) for pid in range(3)]),
        "list_gallery.txt": (test, [(pid, n) for pid in range(3) for n in (1, 2, 3)]),
    }
    root = parent / "msmt17"
    for name, (folder, shots) in lists.items():
        paths = [f"{pid:04}/{pid:04}_{n:03}_{1 + 7 * n % 15:02}_0303morning_00{n}8_0.jpg" for pid, n in shots]
        write_images(root / folder, paths)
        lines = [f"{path} {pid}" for path, (pid, _) in zip(paths, shots, strict=True)]
        (root / name).write_text("\n".join(lines) + "\n")
    return root


def occluded_duke(parent: Path) -> Path:
    """DukeMTMC-reID's layout: three training persons, two queries, three persons in the gallery."""
    names = [f"bounding_box_train/{p:04}_c{c}_f00461{c}{p % 10}.jpg" for p in (1, 2, 5) for c in (2, 8)]
    names += [f"query/{p:04}_c1_f004600{p % 10}.jpg" for p in (3, 4)]
    names += [f"bounding_box_test/{p:04}_c{c}_f00470{c}{p % 10}.jpg" for p in (3, 4, 17) for c in (1, 5)]
    return write_images(parent / "occluded-duke" / "Occluded_Duke", names)


def occluded_reid(parent: Path) -> Path:
    """Three persons, two occluded and two whole images of each, in a folder for each person."""
    kinds = ("occluded_body_images", "whole_body_images")
    names = [f"{kind}/{p:03}/{p:03}_{n:02}.tif" for kind in kinds for p in (1, 2, 200) for n in (1, 2)]
    return write_images(parent / "occluded-reid" / "Occluded_REID", names)


def p_dukemtmc(parent: Path) -> Path:
    """Three training and two test persons; the names have cameras, which the protocol does not use."""
    names = []
    for split, persons in (("train", (1, 2, 5)), ("test", (3, 4))):
        for kind in ("occluded_body_images", "whole_body_images"):
            names += [f"{split}/{kind}/{p:04}/{p:04}_c2_f004618{n}.jpg" for p in persons for n in (1, 2)]
    return write_images(parent / "p-dukemtmc" / "P-DukeMTMC-reid", names)


def partial_reid(parent: Path) -> Path:
    """Three persons, with the images as they were taken and cut to what is seen."""
    kinds = ("partial_body_images", "occluded_body_images", "whole_body_images")
    names = [f"{kind}/{p:03}_{n:03}.jpg" for kind in kinds for p in (1, 2, 60) for n in (1, 2)]
    return write_images(parent / "partial-reid" / "Partial-REID_Dataset", names)


def partial_ilids(parent: Path, folders: tuple[str, str] = ("Probe", "Gallery")) -> Path:
    """Three persons, an image of each in both folders."""
    names = [f"{folder}/{p:03}.jpg" for folder in folders for p in (0, 1, 118)]
    return write_images(parent / "partial-ilids" / "Partial_iLIDS", names)


def ltcc(parent: Path) -> Path:
    """Three training persons, and two test persons in two outfits each, seen by two cameras."""
    names = [f"train/{p:03}_{o}_c{c}_01583{p}.png" for p in (0, 3, 4) for o, c in ((1, 1), (2, 12))]
    names += [f"query/{p:03}_{o}_c1_00000{o}.png" for p in (1, 2) for o in (1, 2)]
    names += [f"test/{p:03}_{o}_c{c}_00001{c}.png" for p in (1, 2) for o in (1, 2) for c in (1, 9)]
    return write_images(parent / "ltcc" / "LTCC_ReID", names)


def prcc(parent: Path) -> Path:
    """Three training persons, and two test persons with two images before each camera; images of validation."""
    names = [f"rgb/train/{p:03}/{c}_cropped_rgb00{n}.jpg" for p in (2, 4, 5) for c in "ABC" for n in (1, 2)]
    names += [f"rgb/val/002/{c}_cropped_rgb009.jpg" for c in "ABC"]
    names += [f"rgb/test/{c}/{p:03}/cropped_rgb00{n}.jpg" for c in "ABC" for p in (1, 3) for n in (1, 2)]
    return write_images(parent / "prcc", names)


def viper(parent: Path) -> Path:
    """Six persons, an image of each by both cameras."""
    names = [f"{camera}/{p:03}_{view}.bmp" for camera, view in (("cam_a", 45), ("cam_b", 90)) for p in range(0, 18, 3)]
    return write_images(parent / "viper" / "VIPeR", names)


def grid(parent: Path) -> Path:
    """Six persons with an image in both folders, two distractors, and ten splits of three persons to train on."""
    names = [f"probe/{p:04}_1_25023_45_29_116_295.jpeg" for p in range(1, 7)]
    names += [f"gallery/{p:04}_{2 + p % 2}_25023_45_29_116_295.jpeg" for p in range(1, 7)]
    names += [f"gallery/0000_7_2502{n}_45_29_116_295.jpeg" for n in (1, 2)]
    root = write_images(parent / "grid" / "underground_reid", names)
    splits = np.empty((1, 10), object)
    for number in range(10):
        persons = np.arange(number, number + 3) % 6 + 1
        splits[0, number] = {"probeImIdx": 2 * persons - 1, "galleryImIdx": 2 * persons, "personIdx": persons}
    savemat(root / "features_and_partitions.mat", {"trainIdxAll": splits})
    return root


def prid2011(parent: Path) -> Path:
    """Six persons whom both cameras see, one whom only the first sees, and two whom only the second sees."""
    first = [f"single_shot/cam_a/person_{p:04}.png" for p in (1, 2, 3, 7, 9, 200, 201)]
    second = [f"single_shot/cam_b/person_{p:04}.png" for p in (1, 2, 3, 7, 9, 200, 201, 749)]
    return write_images(parent / "prid2011" / "prid_2011", [*first, *second])


def ilids(parent: Path) -> Path:
    """Seven persons, two to four images of each."""
    names = [f"Persons/{p:04}{n:03}.jpg" for p in range(1, 8) for n in range(1, 3 + p % 3)]
    return write_images(parent / "ilids" / "i-LIDS_Pedestrian", names)


def mars(parent: Path) -> Path:
    """Three training and two test persons; tracklets of two or three frames; junk, and a distractor's tracklet."""
    root = parent / "mars"
    tracks = {
        "train": [(p, c, 2) for p in (1, 3, 5) for c in (1, 6)],
        "test": [(-1, 1, 2), (0, 2, 2), *((p, c, 3) for p in (2, 4) for c in (1, 3, 5))],
    }
    for split, rows in tracks.items():
        listed, table = [], []
        for number, (pid, camid, frames) in enumerate(rows, start=1):
            person = f"{pid:04}" if pid >= 0 else "00-1"
            table.append((len(listed) + 1, len(listed) + frames, pid, camid))
            listed += [f"{person}C{camid}T{number:04}F{frame:03}.jpg" for frame in range(1, frames + 1)]
        write_images(root / f"bbox_{split}", [f"{name[:4]}/{name}" for name in listed])
        (root / "info").mkdir(exist_ok=True)
        (root / "info" / f"{split}_name.txt").write_text("\n".join(listed) + "\n")
        savemat(root / "info" / f"tracks_{split}_info.mat", {f"track_{split}_info": np.array(table, np.int32)})
    savemat(root / "info" / "query_IDX.mat", {"query_IDX": np.array([[3, 6]], np.uint16)})
    return root


ALL = (
    *(market1501_500k, dukemtmcreid, cuhk03, cuhk03_np, cuhk01, msmt17, occluded_duke, occluded_reid, p_dukemtmc),
    *(partial_reid, partial_ilids, ltcc, prcc, viper, grid, prid2011, ilids, mars),
)
