"""dataset.csv of a folder that has one folder for each person.

    python examples/people_table.py datasets/mine

expects datasets/mine/PERSON/IMAGE.jpg, where the first number in an image's name is its camera (camera2_0007.jpg,
c2_0007.jpg). Every second person is for training. Of the others, each camera's first image is a query if the camera
took more of them, and so is the first image of all; the rest is the gallery.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def rows(root: Path) -> list[tuple[str, int, int, str]]:
    """Return path, identity, camera and split of every image, persons in the order of their folders' names.

    Raises ValueError for an image without a number in its name, and if fewer than four persons have images.
    """
    people = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and images(folder)]
    if len(people) < 4:
        raise ValueError(
            f"{root} has {len(people)} folders with images; expected one folder for each of four or more persons"
        )
    found = []
    for pid, folder in enumerate(people, 1):
        by_camera: dict[int, list[Path]] = {}
        for path in images(folder):
            by_camera.setdefault(camera_of(path), []).append(path)
        for camera, paths in by_camera.items():
            queried = len(paths) > 1 or camera == next(iter(by_camera))
            for index, path in enumerate(paths):
                split = "train" if pid % 2 else "query" if index == 0 and queried else "gallery"
                found.append((path.relative_to(root).as_posix(), pid, camera, split))
    return found


def camera_of(path: Path) -> int:
    """Return the first number in an image's name. Raises ValueError if there is none."""
    number = re.search(r"\d+", path.stem)
    if number is None:
        raise ValueError(f"{path} has no camera's number in its name; rename it, as camera1_{path.name}")
    return int(number[0])


def images(folder: Path) -> list[Path]:
    """Return the images in a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)


def main() -> int:
    """Write dataset.csv into the folder that the command line names; return the exit code."""
    if len(sys.argv) != 2:
        print("usage: python examples/people_table.py FOLDER", file=sys.stderr)
        return 2
    root = Path(sys.argv[1])
    try:
        table = rows(root)
        with (root / "dataset.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("path", "pid", "camid", "split"), *table])
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{root / 'dataset.csv'}: {len(table)} images of {len({pid for _, pid, _, _ in table})} persons")
    return 0


if __name__ == "__main__":
    sys.exit(main())
