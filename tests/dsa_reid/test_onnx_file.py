"""ONNX files are looked through before a runtime opens them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dsa_reid
from dsa_reid import ModelError
from dsa_reid.onnx_file import onnx_metadata

ABOUT = {"format": "dsa-reid export", "version": 2, "model": "x", "normalise": "inside", "resize": "inside"}
WEIGHTS = np.arange(12, dtype=np.float32).reshape(3, 4)


def program(about: str | None = json.dumps(ABOUT)) -> onnx.ModelProto:
    """A network that multiplies by WEIGHTS, and says that it is ours."""
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["images", "weights"], ["features"])],
        "network",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, ["B", 3])],
        [onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["B", 4])],
        [onnx.numpy_helper.from_array(WEIGHTS, "weights")],
    )
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    if about is not None:
        made.metadata_props.add(key="dsa_reid", value=about)
    return made


def weights(model: onnx.ModelProto) -> onnx.TensorProto:
    return model.graph.initializer[0]


def changed(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = program()
    change(model)
    return model.SerializeToString()


def elsewhere(model: onnx.ModelProto) -> None:
    """Numbers in another file of the machine."""
    weights(model).ClearField("raw_data")
    weights(model).data_location = onnx.TensorProto.EXTERNAL
    weights(model).external_data.add(key="location", value="../../etc/passwd")


def a_large_shape(model: onnx.ModelProto) -> None:
    weights(model).dims[:] = [2**20, 2**20]


def a_large_shape_without_numbers(model: onnx.ModelProto) -> None:
    weights(model).ClearField("raw_data")
    weights(model).dims[:] = [2**20, 2**20]


WHOLE = program().SerializeToString()
DAMAGED: dict[str, bytes] = {
    "empty": b"",
    "a text": b"neither one",
    "cut": WHOLE[:-7],
    "cut in the middle": WHOLE[: len(WHOLE) // 2],
    "a count of 2^63": b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f" + WHOLE,
    "a number without end": b"\x08" + b"\xff" * 20,
    "groups": b"\x0b" * 5000,
    "numbers elsewhere": changed(elsewhere),
    "a tensor of a terabyte": changed(a_large_shape),
    "a tensor of a terabyte without numbers": changed(a_large_shape_without_numbers),
    "numbers of no type": changed(lambda model: weights(model).__setattr__("data_type", 99)),
    "no node": changed(lambda model: model.graph.node.pop()),
    "an operator that is not there": changed(lambda model: model.graph.node[0].__setattr__("op_type", "Destroy")),
    "says nothing": program(None).SerializeToString(),
    "says a number": program("5").SerializeToString(),
    "says no JSON": program("{").SerializeToString(),
    "says 9,000 brackets": program("[" * 9000).SerializeToString(),
    "says it in no text": program("x").SerializeToString().replace(b"\x01x", b"\x01\xff"),
    "says nothing of the model": program(json.dumps(ABOUT | {"model": None})).SerializeToString(),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_told_in_a_line(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(DAMAGED[name])
    with pytest.raises(
        ModelError, match=r"x\.onnx (cannot be read|is not an export|contradicts itself).*Export it again"
    ) as error:
        dsa_reid.load_exported(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 500


def test_a_foreign_network_never_reaches_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("the runtime opened it"))
    for name in ("says nothing", "numbers elsewhere", "a tensor of a terabyte"):
        (tmp_path / "x.onnx").write_bytes(DAMAGED[name])
        with pytest.raises(ModelError):
            dsa_reid.load_exported(tmp_path / "x.onnx")


def test_what_is_whole_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(WHOLE)
    exported = dsa_reid.load_exported(tmp_path / "x.onnx")
    assert exported.about == ABOUT
    images = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(exported.run(images), images @ WEIGHTS)


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=300), max_size=5))
def test_metadata_as_onnx_reads_it(pairs: dict[str, str]) -> None:
    model = program(None)
    for key, value in pairs.items():
        model.metadata_props.add(key=key, value=value)
    assert onnx_metadata(model.SerializeToString()) == pairs


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60)
    | st.builds(lambda n, data: WHOLE[:n] + data + WHOLE[n + 2 :], st.integers(0, len(WHOLE)), st.binary(max_size=5))
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        onnx_metadata(data)
    except (ValueError, KeyError, TypeError):  # which `load_exported` turns into one line
        return
