"""Strict configuration: frozen dataclasses whose defaults are the paper's values.

Each package defines its dataclasses in the module that uses them, decorated with `config`. Values from
`params.yaml`, an experiment file or `--set` are overrides. An unknown key is an error that names the nearest
known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
import typing
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, dataclass_transform

import pydantic
import pydantic.dataclasses
import yaml
from pydantic_core import ArgsKwargs

from dsa_reid.errors import ModelError, SettingError
from dsa_reid.guard import reason

from .assignments import message
from .errors import ConfigError
from .guard import guarded
from .wording import SHOWN, shortened, shown

T = TypeVar("T")
LONGEST_NAME = 200  # bytes of an experiment's name; file systems allow 255 bytes
DEEPEST = 30  # levels of nested settings
NAMED = 20  # settings that differ; the rest are counted
OWN_EXPERIMENTS = Path("experiments")  # the user's, in the working directory
PARAMS = Path("params.yaml")  # of the pipeline, in the working directory
OWN_VALUES = "demo"  # this experiment has no file: its values are the sections of params.yaml


@dataclass_transform(frozen_default=True)
def config(cls: type[T]) -> type[T]:
    """Make `cls` a frozen, validated dataclass that refuses unknown keys."""
    strict = pydantic.ConfigDict(extra="forbid", strict=False)
    return pydantic.dataclasses.dataclass(frozen=True, config=strict)(cls)  # type: ignore[return-value]


def build(cls: type[T], values: Mapping[str, Any] | None, where: str) -> T:
    """Build the configuration `cls` from overrides; `where` names them in errors ("params.yaml: train").

    Raises ConfigError for an unknown key, with the nearest known one, or for an invalid value.
    """
    values = dict(values or {})
    _check_keys(cls, values, where)
    try:
        return cls(**values)
    except pydantic.ValidationError as error:
        problem = error.errors()[0]
        name = ".".join(str(part) for part in problem["loc"])
        together = isinstance(problem["input"], ArgsKwargs | Mapping)
        if problem["type"] == "value_error" and together:  # settings that are right alone
            raise ConfigError(f"{where}: {f'{name}: ' * bool(name)}{problem['ctx']['error']}.") from None
        raise ConfigError(f"{where}: {name} = {shown(problem['input'])} is invalid: {problem['msg']}.") from None
    except ModelError as error:  # of the network's configuration, which is of dsa_reid and knows no sections
        place = _place_of_error(cls, values, where)
        if isinstance(error, SettingError):
            section = place.rpartition(" ")[2]
            changes = {f"{section}.{name}": value for name, value in error.changes.items()}
            raise ConfigError(f"{place}: {message(error, changes)}") from None
        raise ConfigError(f"{place}: {error}") from None


def _place_of_error(cls: Any, values: Mapping[str, Any], where: str) -> str:
    """Return the name of the innermost configuration whose values raise a ModelError: "--set: train.network.main"."""
    types = typing.get_type_hints(cls)
    for key, value in values.items():
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            try:
                types[key](**value)
            except ModelError:
                return _place_of_error(types[key], value, f"{where}.{key}")
            except (TypeError, ValueError):
                continue
    return where


def _check_keys(cls: Any, values: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError for a key that is not a field of `cls`, or of a configuration inside it."""
    types = typing.get_type_hints(cls)
    for key, value in values.items():
        if key not in types:
            raise ConfigError(f"{where}: unknown setting {shown(key)}.{suggestion(str(key), types)}")
        if dataclasses.is_dataclass(types[key]) and isinstance(value, Mapping):
            _check_keys(types[key], value, f"{where}.{key}")


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a sentence with the known name that is most like `name`, or with all of them if none is."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known)}."


def to_dict(settings: Any) -> dict[str, Any]:
    """Return a configuration as plain dicts, lists and scalars, ready for JSON."""
    plain: dict[str, Any] = yaml.safe_load(yaml.safe_dump(_lists(dataclasses.asdict(settings))))
    return plain


def _lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_lists(item) for item in value]
    return value


def setting_changes(made_with: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return in words where two plain configurations differ: "size was 16, this run wants 32"; empty if they do not."""
    texts = list(_changes(made_with, wanted))
    more = [f"{len(texts) - NAMED} more"] if len(texts) > NAMED else []
    return "; ".join([*texts[:NAMED], *more])


def _changes(made_with: Mapping[str, Any], wanted: Mapping[str, Any], above: str = "") -> Iterator[str]:
    for key in sorted({*made_with, *wanted}):
        old, new = made_with.get(key), wanted.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{above}{key}.")
        elif old != new:
            name, was, wants = (shortened(str(text)) for text in (f"{above}{key}", old, new))
            yield f"{name} was {was}, this run wants {wants}"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping. Raises ConfigError."""
    if not path.exists():
        raise ConfigError(f"{path} does not exist. Check the path, or leave the option out.")
    with guarded(ConfigError, path, "is not valid YAML", "Write settings as 'key: value'."):
        values = parse_yaml(path.read_text(encoding="utf-8"))
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: expected settings as 'key: value', found {type(values).__name__}.")
    return values


class SettingsLoader(yaml.SafeLoader):
    """A loader of plain values alone: no aliases, by which 400 bytes become gigabytes, and no deep nesting."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has an alias (*name): write the value itself")
        if self.depth == DEEPEST:
            raise yaml.YAMLError(f"it is nested more than {DEEPEST} levels deep")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping. Raises YAMLError for a key that is there twice: the first value would be passed over."""
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = [name for name, count in Counter(names).items() if count > 1]
        if twice:
            raise yaml.YAMLError(f"duplicate key {shown(twice[0])}")
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node. Raises YAMLError for a text that is no value of its tag, as `!!bool maybe`."""
        try:
            return super().construct_object(node, deep)
        except KeyError as error:
            raise yaml.YAMLError(f"{shown(error.args[0])} is not a value of {node.tag.rpartition(':')[2]}") from None


def parse_yaml(text: str) -> Any:
    """Return the plain values that a YAML text states. Raises whatever PyYAML raises for another text."""
    return yaml.load(text, SettingsLoader)


def override(values: dict[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """Return `values` changed by assignments such as "train.epochs=2"; the right side is YAML."""
    result = {key: dict(item) if isinstance(item, dict) else item for key, item in values.items()}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise ConfigError(f"--set {shown(assignment)}: expected section.key=value, as in train.epochs=2.")
        try:
            value = parse_yaml(text)
        except Exception as error:  # PyYAML raises ValueError for a date that does not exist, and more
            raise ConfigError(f"--set {name[:SHOWN]}: {shown(text)} is not a YAML value ({reason(error)}).") from None
        *parents, leaf = name.strip().split(".")
        section = result
        for parent in parents:
            inner = section.get(parent)
            section[parent] = dict(inner) if isinstance(inner, dict) else {}
            section = section[parent]
        section[leaf] = value
    return result


@dataclasses.dataclass(frozen=True)
class Settings:
    """The dataset, the experiment and the overrides, by section, that a command was given.

    `source` names the overrides in errors: the file that they came from.
    """

    dataset: str
    experiment: str | None
    sections: dict[str, dict[str, Any]]
    source: str

    def section(self, name: str, cls: type[T]) -> T:
        """Build the configuration of one section."""
        return build(cls, self.sections.get(name), f"{self.source}: {name}")

    def changed_by(self, experiment: str) -> Settings:
        """Return these settings overridden by an experiment's file. Raises ConfigError."""
        path = experiment_file(experiment)
        values = read_yaml(path)
        _check_sections(values, set(SECTIONS), str(path))
        return Settings(self.dataset, experiment, _merged(self.sections, values), f"{self.source} and {path}")


SECTIONS = ("synth", "extract", "fuse", "warp", "train", "evaluate", "ablation", "probe")


def read_settings(
    params: Path | None = None,
    dataset: str | None = None,
    experiment: str | None = None,
    assignments: Iterable[str] = (),
    needs_dataset: bool = True,
) -> Settings:
    """Return the settings of a params file, an experiment file and assignments.

    The sections of a params file are used by its own experiment, "demo". Any other experiment uses the paper's
    hyper-parameters, overridden by its file and then by the params file's list `set`.
    """
    values = read_yaml(params) if params else {}
    source = str(params) if params else "--set"
    known = {"dataset", "experiment", "set", *SECTIONS}
    extra = values.pop("set", None) or []
    if not isinstance(extra, list) or not all(isinstance(item, str) for item in extra):
        raise ConfigError(f"{source}: set = {shown(extra)} is invalid: expected a list such as [train.epochs=2].")
    if dataset == "":
        raise ConfigError("--dataset is empty. Give a name, as --dataset market1501.")
    dataset = dataset or values.pop("dataset", None)
    experiment = experiment or values.pop("experiment", None)
    for name, value in (("dataset", dataset), ("experiment", experiment)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{source}: {name} = {shown(value)} is invalid: expected a name.")
    values = {key: item for key, item in values.items() if key not in ("dataset", "experiment")}
    _check_sections(values, known, source)
    if experiment and experiment != OWN_VALUES:
        source = str(experiment_file(experiment))
        values = read_yaml(experiment_file(experiment))
        _check_sections(values, set(SECTIONS), source)
    values = override(values, [*extra, *assignments])
    _check_sections(values, set(SECTIONS), "--set")
    if not dataset and needs_dataset:
        raise ConfigError("No dataset is given. Use --dataset market1501, or the key dataset in params.yaml.")
    return Settings(str(dataset or ""), experiment, values, source)


def left_out_sections(params: Path, experiment: str) -> list[str]:
    """Return which sections of a params file another experiment leaves out, since its own values take their place."""
    return [] if experiment == OWN_VALUES else [name for name in read_yaml(params) if name in SECTIONS]


def experiment_file(name: str) -> Path:
    """Return the file of the experiment `name` ("table3/dsa-reid"): the user's own first, then the project's.

    Raises ConfigError if there is none.
    """
    folders = (OWN_EXPERIMENTS, experiments_folder())
    for folder in folders:
        if len(name.encode(errors="replace")) < LONGEST_NAME and (path := folder / f"{name}.yaml").is_file():
            return path
    raise ConfigError(
        f"No experiment {shown(name)}: neither {OWN_EXPERIMENTS}/{name[:LONGEST_NAME]}.yaml nor one that comes with "
        f"the project.{suggestion(name, experiment_names())}"
    )


def experiment_names() -> list[str]:
    """Return the names of the user's and the project's experiments, sorted."""
    folders = (OWN_EXPERIMENTS, experiments_folder())
    found = {path.relative_to(one).with_suffix("").as_posix() for one in folders for path in one.rglob("*.yaml")}
    return sorted(found)


def installed_experiment(name: str) -> dict[str, Any]:
    """Return the sections of an experiment that comes with the project, though the user has one of this name.

    Raises ConfigError if there is none.
    """
    return read_yaml(experiments_folder() / f"{name}.yaml")


def experiments_folder() -> Path:
    """Return the folder of the experiments that come with the project."""
    package = importlib.util.find_spec("dsa_train")
    assert package is not None, "dsa_train is installed with dsa_app"
    assert package.submodule_search_locations, "dsa_train is a package"
    return Path(package.submodule_search_locations[0]) / "experiments"


def _merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` overridden by `changes`, mapping by mapping."""
    result = dict(values)
    for key, change in changes.items():
        below = result.get(key)
        result[key] = _merged(below, change) if isinstance(below, Mapping) and isinstance(change, Mapping) else change
    return result


def _check_sections(values: Mapping[str, Any], known: set[str], where: str) -> None:
    for key, item in values.items():
        if key not in known:
            raise ConfigError(f"{where}: unknown section {shown(key)}.{suggestion(str(key), known)}")
        if item is not None and not isinstance(item, dict):
            raise ConfigError(f"{where}: expected settings in {key}, as in {key}.name=value; found {shown(item)}.")
