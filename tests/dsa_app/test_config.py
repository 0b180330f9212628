"""Configuration: overrides from files and the command line, and what is refused."""

import dataclasses
from pathlib import Path

import pytest

from dsa_app.config import build, config, override, read_settings, setting_changes, to_dict
from dsa_app.errors import ConfigError
from dsa_app.wording import counted


@config
class Inner:
    rate: float = 0.5


@config
class Outer:
    size: int = 32
    kind: str = "fine"
    inner: Inner = Inner()


@config
class Pair:
    low: int = 0
    high: int = 1

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError("low is above high")


@config
class WithPair:
    pair: Pair = Pair()


def test_settings_that_contradict_each_other_are_answered_with_the_reason_alone() -> None:
    with pytest.raises(ConfigError) as told:
        build(Pair, {"low": 2}, "here")
    assert str(told.value) == "here: low is above high."
    with pytest.raises(ConfigError) as told:
        build(WithPair, {"pair": {"low": 2}}, "here")
    assert str(told.value) == "here: pair: low is above high."


def test_defaults_and_overrides() -> None:
    built = build(Outer, {"size": 16, "inner": {"rate": 1}}, "here")
    assert to_dict(built) == {"size": 16, "kind": "fine", "inner": {"rate": 1.0}}
    with pytest.raises(dataclasses.FrozenInstanceError):
        built.size = 3  # type: ignore[misc]


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"params\.yaml: warp: unknown setting 'sise'\. Did you mean 'size'"):
        build(Outer, {"sise": 16}, "params.yaml: warp")
    with pytest.raises(ConfigError, match=r"here\.inner: unknown setting 'rat'\. Did you mean 'rate'"):
        build(Outer, {"inner": {"rat": 1}}, "here")
    with pytest.raises(ConfigError, match=r"size = 'many' is invalid"):
        build(Outer, {"size": "many"}, "here")


def test_assignments_are_yaml() -> None:
    assert override({"train": {"epochs": 3}}, ["train.epochs=2", "warp.inner.rate=0.25"]) == {
        "train": {"epochs": 2},
        "warp": {"inner": {"rate": 0.25}},
    }
    with pytest.raises(ConfigError, match=r"expected section\.key=value"):
        override({}, ["epochs"])


def test_settings_in_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "table3").mkdir(parents=True)
    (tmp_path / "experiments" / "table3" / "baseline.yaml").write_text("train: {epochs: 100}\n")
    params = tmp_path / "params.yaml"
    params.write_text("dataset: synthetic\nexperiment: demo\nset: []\nwarp: {size: 16}\ntrain: {epochs: 4}\n")

    demo = read_settings(params)
    assert (demo.dataset, demo.sections) == ("synthetic", {"warp": {"size": 16}, "train": {"epochs": 4}})
    named = read_settings(params, "market1501", "table3/baseline", ["train.seed=1"])
    assert named.dataset == "market1501"
    assert named.sections == {"train": {"epochs": 100, "seed": 1}}  # the demo's own numbers are set aside
    params.write_text("dataset: synthetic\nexperiment: table3/baseline\nset: [train.epochs=7]\ntrain: {epochs: 4}\n")
    assert read_settings(params).sections == {"train": {"epochs": 7}}


def test_unknown_section_experiment_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"unknown section 'trian'\. Did you mean 'train'"):
        read_settings(dataset="x", assignments=["trian.epochs=2"])
    with pytest.raises(
        ConfigError, match=r"No experiment 'table9': neither experiments/table9\.yaml.*Did you mean 'table4/csa'"
    ):
        read_settings(dataset="x", experiment="table9")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "table8.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"No experiment 'table9': neither .* Did you mean 'table8'"):
        read_settings(dataset="x", experiment="table9")
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
        read_settings(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match="No dataset is given"):
        read_settings()
    (tmp_path / "set.yaml").write_text("dataset: x\nset: train.epochs=2\n")
    with pytest.raises(ConfigError, match=r"set\.yaml: set = 'train\.epochs=2' is invalid: expected a list"):
        read_settings(tmp_path / "set.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1,\n")
    with pytest.raises(ConfigError, match=r"broken\.yaml is not valid YAML"):
        read_settings(tmp_path / "broken.yaml")


def test_changes_of_settings_in_words() -> None:
    assert setting_changes({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}, "d": 4}) == (
        "b.c was 2, this run wants 3; d was None, this run wants 4"
    )
    assert setting_changes({"b": {"c": 2}}, {"b": {"c": 2}}) == ""
    assert len(setting_changes({"a": "x" * 60_000}, {"a": "y" * 60_000})) < 300
    assert len(setting_changes({"k" * 60_000: 1}, {})) < 300
    many = setting_changes({f"a{n}": {"b": n} for n in range(1000)}, {f"a{n}": {"b": -1} for n in range(1000)})
    assert many.endswith("; 980 more")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("warp: {size: 8}\nwarp: {size: 16}\n", "duplicate key 'warp'"),
        ("warp: {size: 8, size: 16}\n", "duplicate key 'size'"),
        ("warp: {size: !!bool maybe}\n", "'maybe' is not a value of bool"),
    ],
)
def test_what_yaml_would_pass_over_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_settings(params, "market1501")
    assert f"({reason})" in str(error.value)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 identities"), (1, "1 identity"), (2, "2 identities"), (1000, "1000 identities")]
)
def test_a_number_has_its_noun(count: int, text: str) -> None:
    assert counted(count, "identity", "identities") == text
    assert counted(count, "fault").endswith("s") == (count != 1)
