"""Files of torch.export, read without running code in them.

`torch.export.load` trusts its file: it unpickles parts of it, loads shared libraries, evaluates expressions, looks up
any function of torch by name, and writes names into Python code. Therefore the whole file is checked first, and
everything that an exported network does not need is refused.
"""

from __future__ import annotations

import io
import json
import logging
import math
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import ModelError
from .guard import guarded, read_archive

_RAW = re.compile(r"data/weights/weight_\d+|data/constants/tensor_\d+|archive_\w+|byteorder|version|\.\w+(/\w+)?")
_PICKLED = re.compile(r"data/(weights|constants|sample_inputs)/model\.pt|serialized_\w+\.pt")
_JSON = re.compile(r"models/model\.json|data/(weights|constants)/model_\w+_config\.json|serialized_\w+\.json")
_EXTRA = re.compile(r"(extra|extra_files)/[\w.]+")

_NAME = re.compile(r"[\w.]*")
_SYMBOLS = r"s\d+|Symbol|Integer|Mul|Add|Pow|FloorDiv|Mod|Max|Min|positive|nonnegative|integer|True"
_TEXTS = {  # keys whose values are more than names
    "target": re.compile(r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|_operator\.(getitem|add|sub|mul|floordiv|mod)"),
    "expr_str": re.compile(rf"({_SYMBOLS}|\d+|[(), '=*+-])*"),
    "guards_code": re.compile(r"(L|images|size|s\d+|and|or|not|\d+|[\[\]'()., <>=!%*+-])*"),
}
_FREE = ("stack_trace", "nn_module_stack", "torch_fn", "torch_version")  # only shown, never evaluated
_TREES = ("in_spec", "out_spec")
_CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def load_program(path: Path, extra: str) -> tuple[torch.nn.Module, str]:
    """Return the network in a .pt2 file, and the text of its extra file.

    Raises ModelError if it has anything that could be code, or if torch cannot read it.
    """
    with guarded(path, "cannot be read", "Export it again: dsa-train export FILE --model MODEL."):
        content = read_archive(path)
        try:
            _check(content)
        except ModelError as error:
            raise ModelError(f"{path} {error}") from None
        files = {extra: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about read-only weights, which are never written
            logging.getLogger("torch.export").setLevel(logging.CRITICAL)  # damage is reported once, in a ModelError
            program = torch.export.load(_archive(content), extra_files=files)
        return program.module(), files[extra]


def _archive(content: Mapping[str, bytes]) -> io.BytesIO:
    """Return an archive of the checked files: torch might read other entries of the archive on the disk."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, data in content.items():
            archive.writestr(f"archive/{name}", data)
    written.seek(0)
    return written


def _check(content: Mapping[str, bytes]) -> None:
    """Raise ModelError unless a network can be read from the files without running code in them."""
    for name, data in content.items():
        if _JSON.fullmatch(name):
            value = json.loads(data)
            _check_value(value)
            if name.startswith("data/"):
                _check_sizes(name, value, content)
        elif _PICKLED.fullmatch(name):
            _check_pickle(name, data)
        elif not (_RAW.fullmatch(name) or _EXTRA.fullmatch(name)):
            _refuse(name)


def _check_sizes(name: str, value: Any, content: Mapping[str, bytes]) -> None:
    """Raise ValueError if a tensor's file has fewer bytes than it has numbers: torch leaves the rest as memory was."""
    for entry in value["config"].values():
        numbers = math.prod(size["as_int"] for size in entry["tensor_meta"]["sizes"])
        stored = len(content[f"{name.rpartition('/')[0]}/{entry['path_name']}"])
        if stored < numbers:
            raise ValueError(f"{entry['path_name']} has {stored} bytes for {numbers} numbers")


def _check_pickle(name: str, data: bytes) -> None:
    if data:
        try:
            torch.load(io.BytesIO(data), weights_only=True)
        except pickle.UnpicklingError:
            _refuse(f"more than tensors in {name}")


def _check_value(value: Any, key: str = "") -> None:
    """Raise ModelError for a string anywhere in a JSON value that could be more than a name."""
    if isinstance(value, dict):
        if value.get("use_pickle"):
            _refuse("pickled weights")
        for name, item in value.items():
            _check_value(name)
            _check_value(item, name)
    elif isinstance(value, list):
        for item in value:
            _check_value(item, key)
    elif isinstance(value, str):
        if key in _TREES:
            _check_tree(json.loads(value)[1])
        elif key not in _FREE and not _TEXTS.get(key, _NAME).fullmatch(value):
            _refuse(f"the {key or 'key'} {value[:60]!r}")


def _check_tree(tree: Mapping[str, Any]) -> None:
    """Raise ModelError for inputs or outputs in containers that a function named in the file would build."""
    if tree["type"] not in _CONTAINERS:
        _refuse(f"a {tree['type']}")
    for child in tree["children_spec"]:
        _check_tree(child)


def _refuse(what: str) -> None:
    raise ModelError(f"holds {what}, which no export of dsa-reid needs: it was refused, and no code in it was run.")
