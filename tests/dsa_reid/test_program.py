"""A torch.export file that holds more than a network is refused before torch opens it."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing

WEIGHTS = "archive/data/weights/model_weights_config.json"
INPUTS = "archive/data/sample_inputs/model.pt"
GRAPH = "archive/models/model.json"


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files in an exported network."""
    folder = tmp_path_factory.mktemp("program")
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(trunk="resnet18", width=0.125, heads="global"))
    model = dsa_reid.load(dsa_reid.save(stream, folder / "model.pt", Preprocessing(32, 16)))
    with zipfile.ZipFile(dsa_reid.export(model, folder / "model.pt2")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


class Evil:
    """Creates a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def saved(value: object) -> bytes:
    made = io.BytesIO()
    torch.save(value, made)
    return made.getvalue()


def changed(content: dict[str, bytes], name: str, change: Callable[[Any], object]) -> None:
    value = json.loads(content[name])
    change(value)
    content[name] = json.dumps(value).encode()


def nodes(graph: Any) -> Any:
    return graph["graph_module"]["graph"]["nodes"]


def test_an_unchanged_file_can_be_read(exported: dict[str, bytes], tmp_path: Path) -> None:
    assert dsa_reid.load_exported(write(tmp_path / "x.pt2", exported)).about["normalise"] == "inside"


def in_inputs(content: dict[str, bytes], mark: Path) -> None:
    content[INPUTS] = saved((Evil(mark),))


def in_weights(content: dict[str, bytes], mark: Path) -> None:
    def pickled(weights: Any) -> None:
        first = next(iter(weights["config"].values()))
        first["use_pickle"] = True
        content[f"archive/data/weights/{first['path_name']}"] = pickle.dumps(Evil(mark))

    changed(content, WEIGHTS, pickled)


def in_a_library(content: dict[str, bytes], mark: Path) -> None:
    content["archive/data/aotinductor/model/x.so"] = b"\x7fELF"


def in_an_object(content: dict[str, bytes], mark: Path) -> None:
    content["archive/data/constants/custom_obj_0"] = pickle.dumps(Evil(mark))


def in_a_target(content: dict[str, bytes], mark: Path) -> None:
    changed(content, GRAPH, lambda graph: nodes(graph)[0].update(target="torch.hub.load_state_dict_from_url"))


def in_a_file_made_by_an_operator(content: dict[str, bytes], mark: Path) -> None:
    changed(content, GRAPH, lambda graph: nodes(graph)[0].update(target="torch.ops.aten.from_file.default"))


def in_an_expression(content: dict[str, bytes], mark: Path) -> None:
    text = content[GRAPH].decode()
    assert "Symbol('s" in text
    content[GRAPH] = text.replace(
        "Symbol('s", f"__import__('pathlib').Path({str(mark)!r}).touch() or Symbol('s"
    ).encode()


def in_a_guard(content: dict[str, bytes], mark: Path) -> None:
    changed(content, GRAPH, lambda graph: graph.update(guards_code=[f"open({str(mark)!r}, 'w')"]))


def in_a_name(content: dict[str, bytes], mark: Path) -> None:
    changed(content, GRAPH, lambda graph: nodes(graph)[0].update(name=f"x=open({str(mark)!r}, 'w')"))


def in_a_container(content: dict[str, bytes], mark: Path) -> None:
    def call(graph: Any) -> None:
        signature = graph["graph_module"]["module_call_graph"][0]["signature"]
        context = {"default_factory_module": "os", "default_factory_name": "abort"}
        tree = {"type": "collections.defaultdict", "context": json.dumps(context), "children_spec": []}
        signature["out_spec"] = json.dumps([1, tree])

    changed(content, GRAPH, call)


@pytest.mark.parametrize(
    ("hide", "named"),
    [
        (in_inputs, "more than tensors in data/sample_inputs/model.pt"),
        (in_weights, "pickled weights"),
        (in_a_library, "data/aotinductor/model/x.so"),
        (in_an_object, "data/constants/custom_obj_0"),
        (in_a_target, "the target 'torch.hub.load_state_dict_from_url'"),
        (in_a_file_made_by_an_operator, "the target 'torch.ops.aten.from_file.default'"),
        (in_an_expression, "the expr_str"),
        (in_a_guard, "the guards_code"),
        (in_a_name, "the name"),
        (in_a_container, "a collections.defaultdict"),
    ],
)
def test_code_is_refused_and_not_run(
    exported: dict[str, bytes], tmp_path: Path, hide: Callable[[dict[str, bytes], Path], None], named: str
) -> None:
    content, mark = dict(exported), tmp_path / "mark"
    hide(content, mark)
    with pytest.raises(ModelError, match="it was refused, and no code in it was run") as error:
        dsa_reid.load_exported(write(tmp_path / "x.pt2", content))
    assert named in str(error.value)
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(exported: dict[str, bytes], tmp_path: Path) -> None:
    """Of which torch might read the other than the one that was looked at."""
    path = write(tmp_path / "x.pt2", exported)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(GRAPH, exported[GRAPH])
    with pytest.raises(ModelError, match="two files of one name"):
        dsa_reid.load_exported(path)


def larger(path: Path) -> Path:
    """An archive whose directory says that an entry has 3 GiB."""
    data = bytearray(path.read_bytes())
    struct.pack_into("<II", data, data.rindex(b"PK\x01\x02") + 20, 3 << 30, 3 << 30)
    path.write_bytes(data)
    return path


def no_json(content: dict[str, bytes]) -> None:
    content[GRAPH] = b"{"


def brackets(content: dict[str, bytes]) -> None:
    content[GRAPH] = b"[" * 9000


def no_graph(content: dict[str, bytes]) -> None:
    del content[GRAPH]


def a_list(content: dict[str, bytes]) -> None:
    content[GRAPH] = b"[]"


def no_nodes(content: dict[str, bytes]) -> None:
    changed(content, GRAPH, lambda graph: graph["graph_module"]["graph"].pop("nodes"))


def no_numbers(content: dict[str, bytes]) -> None:
    for name in [name for name in content if "/weight_" in name]:
        content[name] = b""


def nothing_said(content: dict[str, bytes]) -> None:
    content["archive/extra/dsa_reid.json"] = b"null"


@pytest.mark.parametrize("damage", [no_json, brackets, no_graph, a_list, no_nodes, no_numbers, nothing_said])
def test_damage_is_told_in_a_line(
    exported: dict[str, bytes],
    tmp_path: Path,
    damage: Callable[[dict[str, bytes]], None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = dict(exported)
    damage(content)
    with pytest.raises(ModelError, match=r"x\.pt2 (cannot be read|is not an export).*Export it again") as error:
        dsa_reid.load_exported(write(tmp_path / "x.pt2", content))
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_sizes_are_held_against_the_files_own(exported: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it states files that are larger than it is"):
        dsa_reid.load_exported(larger(write(tmp_path / "x.pt2", exported)))
    with zipfile.ZipFile(tmp_path / "y.pt2", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data", bytes(10**7))
    with pytest.raises(ModelError, match="compressed files, which torch and numpy"):
        dsa_reid.load_exported(tmp_path / "y.pt2")
