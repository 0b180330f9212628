"""Features of other programs by tracklet: as our own are pooled, and with the lengths that other programs give them."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from dsa_app.errors import ConfigError, DatasetError
from dsa_data.records import Record
from dsa_data.stores.features import write_features
from dsa_data.stores.header import Header
from dsa_reid.preprocessing import Preprocessing
from dsa_train.batches.dataset import Images
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation.foreign import read_features
from dsa_train.evaluation.retrieval import Retrieval, compare, sides
from dsa_train.foreign_stage import foreign_config

PARTS = {"global": 6, "local": 16, "visibility": 8}
CPU = torch.device("cpu")
Q, G = 13, 37


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def frames():
    """Records of frames, and features (50, 30): unit global and local parts, and visibilities."""
    rng = np.random.default_rng(4)
    tracks = [*rng.integers(1, 5, Q), *rng.integers(0, 9, G)]
    records = []
    for n, track in enumerate(int(one) for one in tracks):
        split, camid = ("query", 1) if n < Q else ("gallery", 2)
        digest = f"{n:064x}"
        records.append(Record(f"{split}/{n:03}.png", split, track % 4 + 1, camid, 1, 1, digest, tracklet=track))
    rows = rng.normal(size=(Q + G, 30)).astype(np.float32)
    centres = rng.normal(size=(5, 30))
    rows += 0.7 * centres[[one.pid for one in records]].astype(np.float32)
    rows[:, :6], rows[:, 6:22] = unit(rows[:, :6]), unit(rows[:, 6:22])
    rows[:, 22:] = rng.uniform(size=(Q + G, 8))
    return records, rows


def table(path, records):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "pid", "camid", "split", "tracklet"])
        writer.writerows([one.key, one.pid, one.camid, one.split, one.tracklet or ""] for one in records)
    return path


def store(tmp_path, records, rows, suffix="h5"):
    header = Header("", {"origin": {"model": "0" * 64, "preprocessing": {}, "parts": PARTS}, "type": "float32"}, "0")
    keys, digests = [one.key for one in records], [one.digest for one in records]
    if suffix == "h5":
        return write_features(tmp_path / "f.h5", header, keys, digests, rows.shape, "float32", [rows])
    np.save(tmp_path / "f.npy", rows)
    lines = ["key,digest", *map(",".join, zip(keys, digests, strict=True))]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    about = {"format": "dsa-reid features", **dataclasses.asdict(header), "checksum": 0}
    (tmp_path / "f.json").write_text(json.dumps(about))
    return tmp_path / "f.npy"


def of_our_own(records, rows, config):
    """Query and gallery as a network's features become them."""
    by_split = [[one for one in records if one.split == split] for split in ("query", "gallery")]
    images = [Images(None, some, Preprocessing(8, 4)) for some in by_split]
    index = {one.key: n for n, one in enumerate(records)}
    used = rows if config.needs_visibility else rows[:, :22]
    parts = PARTS if config.needs_visibility else {"global": 6, "local": 16}
    return sides(
        Retrieval(*images), config, lambda some, what: used[[index[one.key] for one in some.records]], dict(parts)
    )


@pytest.mark.parametrize("suffix", ["h5", "npy"])
@pytest.mark.parametrize("tracklets", ["auto", "mean", "best", "visible", "frames"])
@pytest.mark.parametrize("distance", ["euclidean", "visible"])
def test_features_of_embed_are_pooled_as_a_networks(frames, tmp_path, suffix, tracklets, distance):
    config = EvaluateConfig(tracklets=tracklets, distance=distance)
    path = store(tmp_path, *frames, suffix)
    found = read_features(path, table(tmp_path / "t.csv", frames[0])).sides(config)
    expected = of_our_own(*frames, config)
    for one, other in zip(found, expected, strict=True):
        assert [record.key for record in one.records] == [record.key for record in other.records]
        got = np.asarray(one.features[0 : one.features.shape[0]])
        np.testing.assert_allclose(got, other.features, atol=1e-6)
    assert len(found[0].records) == (Q if tracklets == "frames" else len({one.tracklet for one in frames[0][:Q]}))
    one, other = (compare(*some, config, CPU).result for some in (found, expected))
    assert one.mAP == pytest.approx(other.mAP)


def slowly(rows, records, how, seen=None):
    """Features of tracklets in a loop: the mean as it is, of parts by their visibility."""
    pooled = {}
    for n, one in enumerate(records):
        pooled.setdefault((one.tracklet, 0) if one.tracklet else (0, n), []).append(n)
    found = []
    for own in pooled.values():
        if how == "best":
            found.append(rows[own[seen[own].sum(1).argmax()]].reshape(-1))
        elif how == "mean":
            found.append(rows[own].mean(0).reshape(-1))
        elif rows.ndim == 3:
            weights = seen[own][:, :, None]
            found.append(((rows[own] * weights).sum(0) / weights.sum(0)).reshape(-1))
        else:
            weights = seen[own].mean(1)[:, None]
            found.append((rows[own] * weights).sum(0) / weights.sum(0))
    return np.stack(found)


@pytest.mark.parametrize("length", ["one", "any"])
def test_the_mean_has_length_one_where_frames_have(frames, tmp_path, length):
    records, rows = frames
    rows = unit(rows) if length == "one" else rows
    np.save(tmp_path / "f.npy", rows)
    labels = table(tmp_path / "t.csv", records)
    _, gallery = read_features(tmp_path / "f.npy", labels).sides(EvaluateConfig())
    expected = slowly(rows[Q:], records[Q:], "mean")
    np.testing.assert_allclose(gallery.features, unit(expected) if length == "one" else expected, atol=1e-5)
    kept = read_features(tmp_path / "f.npy", labels).sides(EvaluateConfig(tracklets="frames"))
    np.testing.assert_array_equal(kept[1].features[0:G], rows[Q:])


@pytest.mark.parametrize("how", ["best", "visible"])
@pytest.mark.parametrize("form", ["whole", "parts", "two files"])
def test_visibilities_of_another_program(frames, tmp_path, how, form):
    records, _ = frames
    rng = np.random.default_rng(1)
    seen = rng.uniform(size=(Q + G, 3)).astype(np.float32)
    own = rng.normal(size=(Q + G, 3, 4) if form != "whole" else (Q + G, 12)).astype(np.float32)
    labels = table(tmp_path / "t.csv", records)
    if form == "two files":
        for name, some in (("q", slice(0, Q)), ("g", slice(Q, None))):
            np.savez(tmp_path / f"{name}.npz", features=own[some], visibility=seen[some])
        found = read_features(tmp_path / "q.npz", labels, tmp_path / "g.npz")
    elif form == "parts":
        np.savez(tmp_path / "f.npz", qf=own[:Q], gf=own[Q:], q_visibility=seen[:Q], g_visibility=seen[Q:])
        found = read_features(tmp_path / "f.npz", labels)
    else:
        np.savez(tmp_path / "f.npz", own=own, visibility=seen)
        found = read_features(tmp_path / "f.npz", labels)
    query, gallery = found.sides(EvaluateConfig(tracklets=how))
    np.testing.assert_allclose(query.features, slowly(own[:Q], records[:Q], how, seen[:Q]), atol=1e-5)
    np.testing.assert_allclose(gallery.features, slowly(own[Q:], records[Q:], how, seen[Q:]), atol=1e-5)
    frame_by_frame = found.sides(EvaluateConfig(tracklets="frames"))
    np.testing.assert_array_equal(frame_by_frame[1].features[0:G], own[Q:].reshape(G, 12))  # no visibilities in them
    with pytest.raises(DatasetError, match="compares eight regions by their visibilities"):
        found.sides(EvaluateConfig(distance="visible"))


def test_eight_parts_of_another_program_by_what_both_show(frames, tmp_path):
    records, rows = frames
    np.savez(tmp_path / "f.npz", features=rows[:, 6:22].reshape(-1, 8, 2), visibility=rows[:, 22:])
    config = EvaluateConfig(distance="visible", tracklets="frames")
    sides_of = read_features(tmp_path / "f.npz", table(tmp_path / "t.csv", records)).sides(config)
    assert dict(sides_of[0].parts) == {"local": 16, "visibility": 8}
    assert compare(*sides_of, config, CPU).result.queries == Q


@pytest.mark.parametrize(
    ("tracklets", "labelled", "error"),
    [
        ("best", True, "needs visibilities, and the features have none.*dsa-train embed .*--visibility"),
        ("best", False, "evaluate.tracklets=best needs tracklets.*Name a CSV with a column tracklet"),
    ],
)
def test_what_cannot_be_pooled(frames, tmp_path, tracklets, labelled, error):
    records, rows = frames
    np.save(tmp_path / "f.npy", rows)
    records = records if labelled else [dataclasses.replace(one, tracklet=0) for one in records]
    found = read_features(tmp_path / "f.npy", table(tmp_path / "t.csv", records))
    with pytest.raises(DatasetError, match=error):
        found.sides(EvaluateConfig(tracklets=tracklets))


def test_damaged_visibilities_and_distances_by_tracklet(frames, tmp_path):
    records, rows = frames
    labels = table(tmp_path / "t.csv", records)
    for seen in (np.full((Q + G, 3), -1), np.ones((Q, 3)), np.full((Q + G, 3), np.nan), np.ones(Q + G)):
        np.savez(tmp_path / "f.npz", features=rows, visibility=seen.astype(np.float32))
        with pytest.raises(DatasetError, match="has visibilities of shape"):
            read_features(tmp_path / "f.npz", labels)
    with pytest.raises(ConfigError, match=r"evaluate\.tracklets=mean decides how features are made or compared"):
        foreign_config(EvaluateConfig(tracklets="mean"), distances=True)
    store(tmp_path, records, rows, "npy")
    np.save(tmp_path / "f.npy", rows[:, :29])
    with pytest.raises(DatasetError, match=r"f\.npy .*its \.json has 30 columns, the file 29"):
        read_features(tmp_path / "f.npy", labels)
