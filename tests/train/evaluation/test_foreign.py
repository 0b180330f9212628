"""Features and distances of other programs: each form gives the same query and gallery, and torchreid's numbers."""

import csv
import dataclasses
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import scipy.io
import torch

import torchreid_protocol
from dsa_app.errors import DatasetError, TrainingError
from dsa_data.stores.features import write_features
from dsa_data.stores.header import Header
from dsa_train.evaluation import distmat, row_views
from dsa_train.evaluation.config import EvaluateConfig, ExpansionConfig, RerankConfig
from dsa_train.evaluation.foreign import read_distances, read_features
from dsa_train.evaluation.label_table import read_table
from dsa_train.evaluation.retrieval import compare
from dsa_train.evaluation.row_views import Selected

Q, G, D = 12, 40, 8


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    q_pids, g_pids = np.arange(Q) // 2 + 1, rng.integers(0, 8, G)
    q_camids, g_camids = rng.integers(1, 4, Q), rng.integers(1, 4, G)
    centres = rng.normal(size=(9, D))
    return {
        "qf": (centres[q_pids] + rng.normal(size=(Q, D))).astype(np.float32),
        "gf": (centres[g_pids] + rng.normal(size=(G, D))).astype(np.float32),
        "q_pids": q_pids,
        "g_pids": g_pids,
        "q_camids": q_camids,
        "g_camids": g_camids,
    }


def result(found, **changes):
    config = EvaluateConfig(**changes)
    return compare(*found.sides(config), config, torch.device("cpu")).result


def check(found, case, metric="euclidean"):
    """The numbers of torchreid's own evaluation."""
    labels = [case[name] for name in ("q_pids", "g_pids", "q_camids", "g_camids")]
    cmc, mean, ap = torchreid_protocol.evaluated(torchreid_protocol.distances(case["qf"], case["gf"], metric), *labels)
    ours = result(found, distance=metric)
    assert ours.mAP == pytest.approx(mean, abs=1e-12)
    np.testing.assert_allclose(ours.ap[~np.isnan(ours.ap)], ap, atol=1e-12)
    np.testing.assert_allclose(ours.cmc[: len(cmc)], cmc, atol=1e-12)
    assert 0.1 < ours.mAP < 0.95


def table(path, case, train=0, named=False):
    """Write the table of labels: training images first, then query and gallery in turn as they are numbered."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key" if named else "path", "pid", "camid", "split"])
        writer.writerows([f"train/{n}.jpg", 900 + n, 1, "train"] for n in range(train))
        for side, letter in (("query", "q"), ("gallery", "g")):
            for n, (pid, camid) in enumerate(zip(case[f"{letter}_pids"], case[f"{letter}_camids"], strict=True)):
                writer.writerow([f"{side}/{n:03}.jpg", pid, camid, side])
    return path


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_what_torchreids_users_save(case, tmp_path, metric):
    """The variables of its engine by torch.save, with its types: features are tensors, labels arrays of NumPy."""
    content = {name: torch.from_numpy(rows) if name in ("qf", "gf") else rows for name, rows in case.items()}
    torch.save(content, tmp_path / "features.pth")
    check(read_features(tmp_path / "features.pth"), case, metric)
    lists = {name: rows if name in ("qf", "gf") else list(rows) for name, rows in content.items()}
    torch.save(lists, tmp_path / "lists.pt")  # of NumPy's scalars, as fast-reid's evaluator collects them
    check(read_features(tmp_path / "lists.pt"), case, metric)


def test_layumis_result(case, tmp_path):
    names = {"qf": "query_f", "gf": "gallery_f", "q_pids": "query_label", "g_pids": "gallery_label"}
    names |= {"q_camids": "query_cam", "g_camids": "gallery_cam"}
    content = {names[name]: rows if rows.ndim == 2 else rows.tolist() for name, rows in case.items()}
    scipy.io.savemat(tmp_path / "pytorch_result.mat", content)  # as its test.py does
    check(read_features(tmp_path / "pytorch_result.mat"), case)


def test_junk_of_the_gallery_is_left_out_as_by_its_authors(case, tmp_path):
    junk = {
        "gf": np.concatenate([case["qf"][:3], case["gf"]]),
        "g_pids": np.concatenate([[-1, -1, -1], case["g_pids"]]),
        "g_camids": np.concatenate([[1, 1, 1], case["g_camids"]]),
    }
    np.savez(tmp_path / "all.npz", **{**case, **junk})
    found = read_features(tmp_path / "all.npz")
    assert len(found.g_records) == G
    check(found, case)
    stored = torchreid_protocol.distances(case["qf"], junk["gf"], "euclidean")
    np.savez(tmp_path / "distances.npz", distmat=stored, **{k: v for k, v in {**case, **junk}.items() if k[1:] != "f"})
    check(read_distances(tmp_path / "distances.npz"), case)


@pytest.mark.parametrize("train", [0, 5])
@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "mat", "pt"])
def test_one_matrix_with_a_table(case, tmp_path, suffix, train):
    """Rows in the table's order, with training images or without."""
    rows = np.concatenate([np.zeros((train, D), np.float32), case["qf"], case["gf"]])
    path = tmp_path / f"features.{suffix}"
    if suffix == "npy":
        np.save(path, rows)
    elif suffix == "npz":
        np.savez_compressed(path, feats=rows)
    elif suffix == "h5":
        with h5py.File(path, "w") as file:
            file.create_dataset("a/b/embeddings", data=rows, compression="gzip")
    elif suffix == "mat":
        scipy.io.savemat(path, {"f": rows})
    else:
        torch.save(torch.from_numpy(rows), path)
    labels = table(tmp_path / "labels.csv", case, train)
    check(read_features(path, labels), case)
    if train:
        table(labels, case, train, named=True)  # a manifest lists training images that were not embedded
        found = read_features(path, labels)
        assert [one.key for one in found.q_records] == [f"query/{n:03}.jpg" for n in range(Q)]


def test_a_table_may_list_training_images_that_have_no_row(case, tmp_path):
    np.save(tmp_path / "f.npy", np.concatenate([case["qf"], case["gf"]]))
    check(read_features(tmp_path / "f.npy", table(tmp_path / "labels.csv", case, train=7)), case)


def test_query_and_gallery_in_two_files(case, tmp_path):
    for name, letter in (("query", "q"), ("gallery", "g")):
        content = {"f": case[f"{letter}f"], "pids": case[f"{letter}_pids"], "camids": case[f"{letter}_camids"]}
        np.savez(tmp_path / f"{name}.npz", **content)
        np.save(tmp_path / f"{name}.npy", case[f"{letter}f"])
    check(read_features(tmp_path / "query.npz", gallery=tmp_path / "gallery.npz"), case)
    labels = table(tmp_path / "labels.csv", case)
    check(read_features(tmp_path / "query.npy", labels, tmp_path / "gallery.npy"), case)


def test_fast_reids_folder_of_one_file_an_image(case, tmp_path):
    """Its demo names each after the image, without the folder: a.jpg gives a.npy, (1, D)."""
    folder = tmp_path / "out"
    folder.mkdir()
    rows = []
    for side, letter in (("query", "q"), ("gallery", "g")):
        for n, (pid, camid) in enumerate(zip(case[f"{letter}_pids"], case[f"{letter}_camids"], strict=True)):
            name = f"{pid:04}_c{camid}_{side}{n}"
            np.save(folder / f"{name}.npy", case[f"{letter}f"][n][None])
            rows.append([f"{side}/{name}.jpg", pid, camid, side])
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(",".join(map(str, row)) for row in [["path", "pid", "camid", "split"], *rows]))
    check(read_features(folder, labels), case)
    next(folder.iterdir()).unlink()
    with pytest.raises(DatasetError, match=r"The features lack 1 of 52 images that .*labels\.csv lists, first 0"):
        read_features(folder, labels)


def test_rows_of_our_own_files_are_found_by_path(case, tmp_path):
    """In whatever order they are, of both formats of dsa-train embed."""
    labels = table(tmp_path / "labels.csv", case, train=2)
    keys = [*(f"query/{n:03}.jpg" for n in range(Q)), *(f"gallery/{n:03}.jpg" for n in range(G)), "other.jpg"]
    rows = np.concatenate([case["qf"], case["gf"], np.zeros((1, D), np.float32)])
    order = np.random.default_rng(1).permutation(len(keys))
    named, mixed = [keys[n] for n in order], rows[order]
    origin = {"model": "0" * 64, "preprocessing": {}, "parts": {"global": D}}
    header = Header("", {"origin": origin, "type": "float32"}, "0" * 64)
    write_features(tmp_path / "f.h5", header, named, ["0" * 64] * len(named), mixed.shape, "float32", [mixed])
    check(read_features(tmp_path / "f.h5", labels), case)
    np.save(tmp_path / "f.npy", mixed)
    lines = ["key,digest", *(f"{key},{'0' * 64}" for key in named)]
    (tmp_path / "f.csv").write_text("\n".join(lines) + "\n")
    check(read_features(tmp_path / "f.npy", labels), case)


@pytest.mark.parametrize("with_table", [False, True])
def test_a_distance_matrix(case, tmp_path, with_table):
    stored = torchreid_protocol.distances(case["qf"], case["gf"], "euclidean")
    labels = {name: rows for name, rows in case.items() if name not in ("qf", "gf")}
    if with_table:
        np.save(tmp_path / "distmat.npy", stored)
        found = read_distances(tmp_path / "distmat.npy", table(tmp_path / "labels.csv", case))
    else:
        scipy.io.savemat(tmp_path / "d.mat", {"distmat": stored, **labels})
        found = read_distances(tmp_path / "d.mat")
    check(found, case)
    assert result(found, memory=3 * 8 * G / 2**30).mAP == result(found).mAP  # three queries at a time
    for more in ({"rerank": RerankConfig(on=True)}, {"expansion": ExpansionConfig(neighbours=2)}):
        with pytest.raises(TrainingError, match="need features, and distances were given"):
            result(found, **more)


def test_protocols_reranking_and_expansion_are_those_of_our_own_features(case, tmp_path):
    np.savez(tmp_path / "f.npz", **case)
    found = read_features(tmp_path / "f.npz")
    plain = result(found)
    for changes in (
        {"rerank": RerankConfig(on=True, k1=5, k2=2)},
        {"expansion": ExpansionConfig(neighbours=3)},
        {"gallery": "single-shot"},
        {"cameras": "ignore"},
        {"trapezoid": True},
    ):
        assert result(found, **changes).mAP != plain.mAP, changes
    same = dataclasses.replace(found, g_records=[dataclasses.replace(one, camid=1) for one in found.g_records])
    assert result(same, cameras="ignore").mAP == result(found, cameras="ignore").mAP


def test_rows_stay_on_disk_until_they_are_ranked(case, tmp_path, monkeypatch):
    np.save(tmp_path / "f.npy", np.concatenate([case["qf"], case["gf"]]))
    read = []
    genuine = row_views._read_runs
    monkeypatch.setattr(row_views, "_read_runs", lambda rows, some: read.append(len(some)) or genuine(rows, some))
    monkeypatch.setattr(distmat, "GALLERY", 16)
    found = read_features(tmp_path / "f.npy", table(tmp_path / "labels.csv", case))
    assert read == []
    result(found, memory=4 * 4 * G / 2**30)
    assert max(read) <= 16


def test_selected_rows_are_in_the_order_asked_for():
    rows = np.arange(20).reshape(10, 2)
    some = np.array([7, 2, 3, 3, 9])
    np.testing.assert_array_equal(Selected(rows, some)[1:5], rows[some[1:5]])
    np.testing.assert_array_equal(Selected(rows, some, np.array([1]))[0:5], rows[some][:, [1]])
    assert Selected(rows, some)[2:2].shape == (0, 2)
    assert Selected(rows, some, np.array([1])).shape == (5, 1)


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("suffix", ["npy", "npz", "pt", "pth", "folder"])
def test_code_in_a_file_is_never_run(tmp_path, suffix):
    ran, path = tmp_path / "ran", tmp_path / f"evil.{suffix}"
    evil = Evil(ran)
    if suffix == "npy":
        np.save(path, np.array([evil], object), allow_pickle=True)
    elif suffix == "npz":
        np.savez(path, qf=np.array([evil], object))
    elif suffix == "folder":
        path.mkdir()
        np.save(path / "a.npy", np.array([evil], object), allow_pickle=True)
    else:
        torch.save({"qf": evil, "gf": np.array([evil], object)}, path, pickle_module=pickle)
    with pytest.raises(DatasetError):
        read_features(path)
    assert not ran.exists()


def test_an_archive_that_inflates_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "zeros.npz", qf=np.zeros((1000, 1000)))
    with pytest.raises(DatasetError, match=r"states 8000.* bytes, more than 50 times its size"):
        read_features(tmp_path / "zeros.npz")


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5", "mat", "pt"])
def test_a_damaged_file_is_an_error_in_one_line(case, tmp_path, suffix):
    path = tmp_path / f"f.{suffix}"
    path.write_bytes(b"\x93NUMPY and other words" * 9)
    with pytest.raises(DatasetError, match=f"f.{suffix}") as error:
        read_features(path)
    assert "\n" not in str(error.value)


def test_links_into_other_files_are_not_followed(case, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["features"] = case["qf"]
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"] = h5py.ExternalLink("other.h5", "features")
    with pytest.raises(DatasetError, match="it has no dataset of numbers"):
        read_features(tmp_path / "f.h5")


def test_what_does_not_fit_says_what_would(case, tmp_path):
    labels = table(tmp_path / "labels.csv", case)
    np.save(tmp_path / "f.npy", case["qf"])
    with pytest.raises(DatasetError, match=r"does not say which of its rows are queries\. Name a CSV"):
        read_features(tmp_path / "f.npy")
    with pytest.raises(DatasetError, match=r"f\.npy has 12 rows, .* lists 52, 52 of them of query and gallery"):
        read_features(tmp_path / "f.npy", labels)
    with pytest.raises(DatasetError, match=r"distances of shape \(12, 8\), its labels list 12 queries and 40 gallery"):
        read_distances(tmp_path / "f.npy", labels)
    with pytest.raises(DatasetError, match="has an unknown format"):
        read_features(labels)
    with pytest.raises(DatasetError, match=r"none\.npy does not exist"):
        read_features(tmp_path / "none.npy")
    np.savez(tmp_path / "f.npz", qf=case["qf"], gf=case["gf"])
    with pytest.raises(DatasetError, match="has no identities for its rows"):
        read_features(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", **{**case, "q_pids": case["q_pids"][:-1]})
    with pytest.raises(DatasetError, match="has 11 identities for 12 rows"):
        read_features(tmp_path / "f.npz")
    np.savez(tmp_path / "f.npz", a=case["qf"], b=case["gf"])
    with pytest.raises(DatasetError, match=r"has the arrays a, b\. Expected features of query and gallery \(qf and gf"):
        read_features(tmp_path / "f.npz", labels)
    with zipfile.ZipFile(tmp_path / "f.pt", "w") as archive:
        archive.writestr("x/constants.pkl", b"")
    with pytest.raises(DatasetError, match="TorchScript"):
        read_features(tmp_path / "f.pt", labels)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("path,pid\na,1\n", "has no column camid"),
        ("path,pid,camid,split\n", "has no row"),
        ("path,pid,camid,split\na,1,1\n", "line 2: expected 4 fields, found 3"),
        ("path,pid,camid,split\na,one,1,query\n", "line 2: expected a whole number for pid"),
        ("path,pid,camid,split\na,1,1,query\n", "has 1 rows of split query and 0 of split gallery"),
        ("path,pid,camid\na,1,1\n", "has 0 rows of split query"),
        ("path,pid,camid,split\n../a,1,1,query\n", "is not a path below the images' folder"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, text, error):
    (tmp_path / "labels.csv").write_text(text)
    np.save(tmp_path / "f.npy", np.ones((2, 3), np.float32))
    with pytest.raises(DatasetError, match=error):
        read_features(tmp_path / "f.npy", tmp_path / "labels.csv")


def test_a_damaged_file_of_a_folder_is_named(tmp_path):
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "a.npy", np.zeros(3))
    (folder / "b.npy").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"b\.npy cannot be read"):
        read_features(folder, tmp_path / "none.csv")


def test_an_image_that_is_listed_twice_is_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,pid,camid,split\na.jpg,1,1,query\nb.jpg,1,2,gallery\na.jpg,2,1,query\n")
    with pytest.raises(DatasetError, match=r"t\.csv, line 4: 'a\.jpg' is in line 2 already"):
        read_table(table)
    table.write_text("path,pid,camid,split\na.jpg,1,1,query\nb.jpg,1,2,gallery\na.jpg,1,1,gallery\n")
    assert len(read_table(table)) == 3  # a query may be in the gallery too
