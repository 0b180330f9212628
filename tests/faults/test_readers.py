"""Damaged files: each is read, or refused with an error of this project, within 10 s and a stated amount of memory.

A short form of the recorded run (`python tests/faults/record.py readers`); and files that were once a fault.
"""

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults import fuzz
from faults.readers import APART, SLOW, Reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IMAGES = [
    f"{kind} by {package}" for kind in ("JPEG", "PNG", "WebP", "BMP", "TIFF") for package in ("dsa_data", "dsa_reid")
]
TABLES = ["manifest.csv", "dataset.csv", "MSMT17 lists", "scenes.csv", "synth.json", "CUHK03 note"]
STORES = ["iuv.h5", "dsap.h5", "features.h5", "features.npy", "features.csv", "features.json", "piece"]
SETTINGS = ["configuration of pieces", "params.yaml", "experiment", "--set"]
WEIGHTS = ["DensePose checkpoint", "model.pt", "FAISS t.faiss", "FAISS t.faiss.json"]
RESULTS = ["metrics.json", "result of a row", "IUV image"]
IMPORTS = ["dump of apply_net.py", "pickled dump of apply_net.py", "part mask", "part mask, array"]
IMPORTS += ["scores.csv", "mapping of labels"]
IMPORTS += ["keypoints of many images", "keypoints of an image", "keypoints of YOLO"]
FOREIGN = ["features in an .npz", "features in a .mat", "features in a .pt", "features in an .npy", "table of features"]
HERE = [name for name in SLOW if name != "model.pt2"]  # whose making takes long
NAMES = [*IMAGES, *TABLES, *STORES, *SETTINGS, *WEIGHTS, *RESULTS, *IMPORTS, *FOREIGN, *HERE]


def test_every_reader_is_known(whole_files: dict[str, Reader]) -> None:
    assert set(whole_files) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files(name: str, whole_files: dict[str, Reader], tmp_path: Path) -> None:
    count = 6 if name in APART else 30 if name in SLOW else 150
    first = random.Random(name).randrange(1_000_000)
    counts, findings = fuzz.run(whole_files[name], range(first, first + count), tmp_path / "try")
    assert not findings, findings[0]
    assert counts["read"] + counts["refused"] == count


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_file_is_read(name: str, whole_files: dict[str, Reader], tmp_path: Path) -> None:
    if name == "CUHK03 note":
        return  # the reader asks for images that are not there
    reader = whole_files[name]
    for file, data in reader.seeds.items():
        assert fuzz.outcome(reader, fuzz.place(reader, file, data, tmp_path / "try")) == ("read", "")


QUICK = [*TABLES[:5], *SETTINGS[1:], "metrics.json"]


@pytest.mark.parametrize("name", QUICK)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(rng=st.randoms(use_true_random=False), times=st.integers(1, 3))
def test_damage_that_hypothesis_chooses(
    name: str, whole_files: dict[str, Reader], tmp_path: Path, rng: random.Random, times: int
) -> None:
    reader = whole_files[name]
    file = rng.choice(sorted(reader.seeds))
    data = reader.seeds[file]
    for _ in range(times):
        data = fuzz.once(reader, data, rng)
    what, where = fuzz.outcome(reader, fuzz.place(reader, file, data, tmp_path / "try"))
    assert what in ("read", "refused"), (what, where)
