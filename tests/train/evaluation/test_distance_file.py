"""The distance matrix as a file: what is read back gives the same measures, and a file is whole or absent."""

import os
import resource
import signal
import subprocess
import sys
import weakref

import h5py
import numpy as np
import pytest
import torch

from dsa_app.errors import BusyError, ConfigError, DatasetError
from dsa_app.lock import locked
from dsa_data.records import Record
from dsa_train.evaluation.config import EvaluateConfig, RerankConfig
from dsa_train.evaluation.distance_file import write_distances
from dsa_train.evaluation.foreign import read_distances
from dsa_train.evaluation.per_query import query_rows
from dsa_train.evaluation.retrieval import Side, camera_numbers, compare, ranked

Q, G, D = 7, 30, 5
CPU = torch.device("cpu")
SMALL = 2 * 4 * G / 2**30  # GiB: two queries a block


def records(split, pids, camids, clothes):
    digests = [f"{n:02x}{'ab' * 30}{len(split):02x}" for n in range(len(pids))]
    rows = zip(pids, camids, digests, strict=True)
    return [
        Record(f"{split}/ö{n:03}.jpg", split, int(pid), int(camid), 0, 0, digest, clothes=n % clothes + 1)
        for n, (pid, camid, digest) in enumerate(rows)
    ]


@pytest.fixture
def sides():
    rng = np.random.default_rng(3)
    query = records("query", np.arange(Q) // 2 + 1, rng.integers(1, 3, Q), clothes=2)
    gallery = records("gallery", rng.integers(1, 6, G), rng.integers(1, 4, G), clothes=3)
    rows = [rng.normal(size=(n, D)).astype(np.float32) for n in (Q, G)]
    return [
        Side(features, own, camera_numbers(own, EvaluateConfig()))
        for features, own in zip(rows, (query, gallery), strict=True)
    ]


def measured(query, gallery, config):
    query, gallery = (
        Side(side.features, side.records, camera_numbers(side.records, config), side.parts, side.distances)
        for side in (query, gallery)
    )
    found = compare(query, gallery, config, CPU)
    return query_rows(query, found.result, found.matches), found.result.cmc.tolist()


def written(path, sides, config):
    return write_distances(path, sides[0].records, sides[1].records, ranked(*sides, config, CPU))


@pytest.mark.parametrize("suffix", ["npy", "h5"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"distance": "cosine", "cameras": "ignore"},
        {"clothes": "changed"},
        {"rerank": RerankConfig(on=True, k1=5, k2=2)},
    ],
    ids=["plain", "copies", "clothes", "re-ranked"],
)
def test_what_is_read_back_gives_the_same_measures(sides, tmp_path, suffix, changes):
    config = EvaluateConfig(memory=SMALL, **changes)
    path = written(tmp_path / f"distances.{suffix}", sides, config)
    labels = None
    if suffix == "npy":  # the labels of a .npy are a table's, as a manifest is one
        labels = tmp_path / "labels.csv"
        lines = [
            f"{one.key},{one.pid},{one.camid},{one.split},{one.digest},{one.clothes}"
            for side in sides
            for one in side.records
        ]
        labels.write_text("\n".join(["key,pid,camid,split,digest,clothes", *lines]) + "\n")
        rows = np.load(path)
        assert rows.dtype == np.float32
        assert rows.shape == (Q, G)
        np.testing.assert_array_equal(rows, np.concatenate([block for _, block in ranked(*sides, config, CPU)]))
    plain = EvaluateConfig(memory=SMALL, **{k: v for k, v in changes.items() if k in ("cameras", "clothes")})
    back = read_distances(path, labels)
    assert [one.key for one in back.g_records] == [one.key for one in sides[1].records]
    assert measured(*back.sides(plain), plain) == measured(*sides, config)


def test_distances_of_float64_stay_so(sides, tmp_path):
    distances = np.random.default_rng(0).random((Q, G))
    given = Side(np.empty((0, 0)), sides[0].records, sides[0].camids, distances=distances)
    path = written(tmp_path / "distances.h5", [given, sides[1]], EvaluateConfig(memory=SMALL))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["distmat"], distances)


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_the_same_distances_are_the_same_bytes(sides, tmp_path, suffix):
    one = written(tmp_path / f"one.{suffix}", sides, EvaluateConfig(memory=SMALL))
    two = written(tmp_path / f"two.{suffix}", sides, EvaluateConfig(memory=SMALL))
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"one.{suffix}", f"two.{suffix}"]


def test_one_block_is_in_memory_at_a_time(sides, tmp_path):
    before = None

    def blocks():
        nonlocal before
        for row in range(Q):
            assert before is None or before() is None
            block = np.full((1, G), row, np.float32)
            before = weakref.ref(block)
            yield slice(row, row + 1), block
            del block

    path = write_distances(tmp_path / "distances.npy", sides[0].records, sides[1].records, blocks())
    np.testing.assert_array_equal(np.load(path)[:, 0], np.arange(Q))


def test_an_error_leaves_nothing_and_another_writer_is_refused(sides, tmp_path):
    def broken():
        yield slice(0, 1), np.zeros((1, G), np.float32)
        raise KeyboardInterrupt

    path = tmp_path / "new" / "distances.h5"
    with pytest.raises(KeyboardInterrupt):
        write_distances(path, sides[0].records, sides[1].records, broken())
    assert list(tmp_path.iterdir()) == []
    with locked(path, "held"), pytest.raises(BusyError, match=r"Another process is writing .*distances\.h5"):
        written(path, sides, EvaluateConfig())
    with pytest.raises(ConfigError, match=r"distances\.txt: expected a name that ends in \.npy or \.h5"):
        written(tmp_path / "distances.txt", sides, EvaluateConfig())


KILLED = """
import os, signal, sys, numpy as np
from pathlib import Path
from dsa_data.records import Record
from dsa_train.evaluation.distance_file import write_distances

def blocks():
    yield slice(0, 1), np.ones((1, 3), np.float32)
    os.kill(os.getpid(), signal.SIGKILL)

sides = [[Record(f"{s}/{n}.jpg", s, n, 1, 0, 0, "0" * 64) for n in range(k)] for s, k in (("query", 2), ("gallery", 3))]
write_distances(Path(sys.argv[1]), *sides, blocks())
"""


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_a_killed_writer_leaves_no_file_and_the_next_one_clears_up(sides, tmp_path, suffix):
    path = tmp_path / f"distances.{suffix}"
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
    written(path, sides, EvaluateConfig())
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["npy", "h5"])
def test_a_full_disk_is_known_before_the_second_block(sides, tmp_path, suffix):
    def blocks():
        yield slice(0, 1), np.zeros((1, 10**6), np.float32)
        raise AssertionError("the disk is full")

    query, gallery = sides[0].records, [sides[1].records[0]] * 10**6
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
    try:
        with pytest.raises(OSError, match=r"distances"):
            write_distances(tmp_path / f"distances.{suffix}", query, gallery, blocks())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_fewer_paths_than_rows_is_refused(sides, tmp_path):
    path = written(tmp_path / "distances.h5", sides, EvaluateConfig())
    with h5py.File(path, "r+") as file:
        del file["g_paths"]
        file["g_paths"] = np.array([b"a.jpg"])
    with pytest.raises(DatasetError, match=r"distances\.h5 has 1 paths for 30 rows"):
        read_distances(path)
