"""One policy for an output that exists: reused if it was made with the wanted settings, else refused or replaced."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from dsa_app.errors import StoreError
from dsa_data.stores.features import FeatureStore, Origin, write_features
from dsa_data.stores.header import Header
from dsa_data.stores.reuse import open_reusable, reusable

ORIGIN = dataclasses.asdict(Origin("0f" * 32, {"height": 256}, {"global": 4}))
HEADER = Header("tiny", {"origin": ORIGIN, "warp": {"size": 32}, "maps": {"engine": "rendered"}}, "ab" * 32)
REMEDY = "Make it again: dsa-train embed --overwrite."


def changed(**settings: object) -> Header:
    return dataclasses.replace(HEADER, configuration=HEADER.configuration | settings)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_features(
        tmp_path / "out.h5", HEADER, ["a.jpg"], ["0f" * 32], (1, 4), "float32", [np.ones((1, 4), np.float32)]
    )


def test_no_output_is_made_new(tmp_path: Path) -> None:
    assert open_reusable(tmp_path / "out.h5", FeatureStore, HEADER, REMEDY) is None


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_same_settings_are_reused_whatever_the_inputs(out: Path, overwrite: bool) -> None:
    other_inputs = dataclasses.replace(HEADER, inputs="cd" * 32)
    with reusable(out, FeatureStore, other_inputs, REMEDY, overwrite) as store:
        assert store is not None
        assert store.keys == ["a.jpg"]


@pytest.mark.parametrize(
    ("wanted", "difference"),
    [
        (changed(warp={"size": 16}), r"warp\.size was 32, this run wants 16"),
        (dataclasses.replace(HEADER, dataset="other"), "dataset was tiny, this run wants other"),
    ],
)
def test_other_settings_are_refused_or_replaced(
    out: Path, wanted: Header, difference: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(
        StoreError, match=rf"out\.h5 was made with other settings: {difference}\.\nMake it again: dsa-train embed"
    ):
        open_reusable(out, FeatureStore, wanted, REMEDY)
    assert open_reusable(out, FeatureStore, wanted, REMEDY, overwrite=True, report=False) is None
    assert capsys.readouterr().err == ""
    assert open_reusable(out, FeatureStore, wanted, REMEDY, overwrite=True) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(rf"out\.h5 was made with other settings: {difference}\. Everything is rebuilt", line)


@pytest.mark.parametrize("settings", [{}, {"warp": {"size": 16}}])
def test_what_is_reused_as_a_whole_is_of_the_same_images(
    out: Path, settings: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = dataclasses.replace(changed(**settings), inputs="cd" * 32)
    fault = r"was made with other settings: warp\.size" if settings else r"was made from other images\.\n"
    with pytest.raises(StoreError, match=fault):
        open_reusable(out, FeatureStore, wanted, REMEDY, whole=True)
    assert open_reusable(out, FeatureStore, wanted, "", overwrite=True, whole=True, again="It is made anew.") is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(". It is made anew.")
    assert open_reusable(out, FeatureStore, HEADER, REMEDY, whole=True) is not None


def test_records_are_reused_where_their_decisive_settings_agree(out: Path) -> None:
    wanted = changed(maps={"engine": "native"})
    assert open_reusable(out, FeatureStore, wanted, REMEDY, overwrite=True, decisive=["warp"]) is not None
    assert open_reusable(out, FeatureStore, wanted, REMEDY, overwrite=True, decisive=["warp", "maps"]) is None
    with pytest.raises(StoreError, match=r"maps\.engine was rendered, this run wants native"):
        open_reusable(out, FeatureStore, wanted, REMEDY, decisive=["warp"])


def test_a_damaged_output_is_refused_or_replaced(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out.write_bytes(out.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"out\.h5 is damaged or cut short"):
        open_reusable(out, FeatureStore, HEADER, REMEDY)
    assert open_reusable(out, FeatureStore, HEADER, REMEDY, overwrite=True) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"out\.h5 is damaged or cut short .*\)\. Everything is rebuilt \(--overwrite\)\.$", line)


def test_the_store_is_closed_on_every_path(out: Path) -> None:
    files = []

    def opener(path: Path) -> FeatureStore:
        store = FeatureStore(path)
        files.append(store.file)
        return store

    def interrupted() -> None:
        with reusable(out, opener, HEADER, REMEDY):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with pytest.raises(StoreError):
        open_reusable(out, opener, changed(warp={}), REMEDY)
    assert len(files) == 2
    assert not any(files)  # a closed h5py file is false
