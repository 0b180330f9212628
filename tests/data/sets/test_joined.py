"""Joined datasets: identities and cameras stay distinct, and no test identity is in training."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import trees
from dsa_app.errors import DatasetError
from dsa_data import sets
from dsa_data.listing import list_dataset
from dsa_data.records import Entry
from dsa_data.sets.joined import join


def test_identities_and_cameras_stay_distinct(datasets: Path, tmp_path: Path) -> None:
    trees.market1501(datasets)
    trees.dukemtmcreid(datasets)
    trees.msmt17(datasets)
    listed = list_dataset("market1501+dukemtmcreid+msmt17", tmp_path / "manifest.csv")
    of = {
        name: [r for r in listed if r.key.startswith(f"{name}/")] for name in ("market1501", "dukemtmcreid", "msmt17")
    }
    alone = sorted(sets.scan("market1501"), key=lambda entry: entry.key)
    assert [(r.key, r.split, r.pid, r.camid) for r in of["market1501"]] == [
        (f"market1501/{e.key}", e.split, e.pid, e.camid) for e in alone
    ]
    assert {r.split for r in of["dukemtmcreid"] + of["msmt17"]} == {"train"}
    assert [len({r.pid for r in part if r.split == "train"}) for part in of.values()] == [4, 3, 4]
    assert len({r.pid for r in listed if r.split == "train"}) == 11
    cameras = [{r.camid for r in part} for part in of.values()]
    assert sum(map(len, cameras)) == len(set.union(*cameras))
    assert all((sets.dataset_root("market1501+dukemtmcreid") / r.key).exists() for r in listed)


entry_lists = st.lists(
    st.builds(
        Entry,
        key=st.uuids().map(lambda name: f"{name}.png"),
        split=st.sampled_from(["train", "query", "gallery"]),
        pid=st.integers(0, 30),
        camid=st.integers(0, 5),
    ),
    max_size=20,
)


@given(st.lists(entry_lists, min_size=1, max_size=4))
def test_numbers_are_mapped_one_to_one(parts: list[list[Entry]]) -> None:
    joined = join([(str(number), part) for number, part in enumerate(parts)])
    original = {f"{number}/{entry.key}": (number, entry) for number, part in enumerate(parts) for entry in part}
    for name in ("pid", "camid"):
        pairs = {(original[e.key][0], getattr(original[e.key][1], name), getattr(e, name)) for e in joined}
        assert len(pairs) == len({pair[:2] for pair in pairs}) == len({pair[2] for pair in pairs})  # one to one
    assert {e.key for e in joined} == {k for k, (number, e) in original.items() if number == 0 or e.split == "train"}


def test_datasets_of_the_same_persons_are_refused(datasets: Path) -> None:
    for name in ("cuhk03-labeled+cuhk03-np-detected", "cuhk01+cuhk01-100", "market1501+market1501"):
        with pytest.raises(DatasetError, match="show the same persons"):
            sets.dataset(name)
    with pytest.raises(DatasetError, match="Unknown dataset 'duke'"):
        sets.dataset("market1501+duke")
    trees.market1501(datasets)
    with pytest.raises(DatasetError, match=r"datasets/dukemtmcreid is missing"):
        sets.scan("market1501+dukemtmcreid")
