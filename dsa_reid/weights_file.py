"""Files of torch.save, read without torch's reader: tensors, numbers, text and plain containers, nothing else.

A pickle names the functions that rebuild its objects. Here each name that tensors need stands for something of ours,
which checks sizes against the bytes that are there. Any other name, and any instruction that torch.save does not write
for them, ends the reading before it is carried out.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .errors import ModelError
from .guard import guarded, read_archive, reason

INSTRUCTIONS = {  # those of protocol 2, as torch.save writes it
    *("PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS", "BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT"),
    *("GLOBAL", "REDUCE", "BINPERSID"),
}
STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


def read_weights(path: Path) -> Any:
    """Return what a file of torch.save holds, its tensors on the CPU and contiguous.

    Raises ModelError if it is missing, damaged, or holds anything but tensors and plain values; no code in it is run.
    """
    with guarded(path, "is truncated, damaged or not a model", "Copy it again."):
        files = read_archive(path)
        if files.get("byteorder", b"little").decode() != sys.byteorder:
            raise ValueError("it is of a machine with another byte order")
        content = files["data.pkl"]
        try:
            _check_instructions(content)
            return _Reader(content, files).load()
        except pickle.UnpicklingError as error:
            raise ModelError(
                f"{path} is not a model of dsa-reid: it holds more than weights ({reason(error)}); no code in it was "
                "run. Give the model.pt of a run's folder."
            ) from None


def _check_instructions(content: bytes) -> None:
    """Raise UnpicklingError unless a pickle has the instructions of torch.save alone."""
    for code, argument, _ in pickletools.genops(content):
        if code.name not in INSTRUCTIONS:
            raise pickle.UnpicklingError(f"the instruction {code.name}")
        if code.name == "LONG_BINPUT" and int(argument or 0) > len(content):
            raise ValueError("it counts more objects than it has bytes")


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes, files: Mapping[str, bytes]) -> None:
        super().__init__(io.BytesIO(content))
        self._files = files
        self._read: dict[str, torch.Tensor] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name stands for here."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return dict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> torch.Tensor:
        """Return the numbers of a storage, flat: ("storage", type, file, device, count)."""
        _, dtype, name, _, count = pid
        if name not in self._read:
            data = self._files[f"data/{name}"]
            if not isinstance(dtype, torch.dtype) or not isinstance(count, int) or len(data) != count * dtype.itemsize:
                raise ValueError(f"storage {str(name)[:40]!r} has {len(data)} bytes, which are not {count} of {dtype}")
            self._read[name] = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
        if self._read[name].dtype != dtype:
            raise ValueError(f"storage {str(name)[:40]!r} is of two types")
        return self._read[name]


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    """Return a tensor of a storage's numbers, as torch._utils._rebuild_tensor_v2."""
    if not isinstance(storage, torch.Tensor) or math.prod(size) > storage.numel():
        raise ValueError(f"a tensor of size {str(size)[:40]} comes with too few numbers")
    return storage.as_strided(size, stride, offset).contiguous()
