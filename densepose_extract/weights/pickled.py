"""Read a pickled checkpoint without running code in it: only arrays and plain containers are accepted.

A pickle names the functions that rebuild its objects, and an ordinary loader calls whatever it names. Here each of the
few names that NumPy's arrays need is mapped to a function of this module, which checks its arguments; not even NumPy's
own functions are called. Any other name is an error.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import CheckpointError
from dsa_app.wording import shown

KINDS = "fiub"  # floating point, integers, bool


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint {"model": {name: array}, …}, pickled by Python 2 or 3 (latin1).

    Raises CheckpointError if the file is something else, is damaged, or holds anything besides arrays and plain
    containers.
    """
    try:
        data = path.read_bytes()
        check_memo(data)
        content = Reader(io.BytesIO(data), encoding="latin1").load()
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist. Name another checkpoint.") from None
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile stream can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is refused as a checkpoint, and no code in it was run: {reason}. Use a published one."
        ) from None
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise CheckpointError(f"{path} is not a DensePose checkpoint: expected a pickled {{'model': {{…}}}}.")
    arrays = {}
    for name, value in model.items():
        if not isinstance(name, str) or not isinstance(value, Array) or value.data is None:
            raise CheckpointError(f"{path}: entry {shown(str(name))} is {type(value).__name__}, expected an array.")
        arrays[name] = value.data
    return arrays


def check_memo(data: bytes) -> None:
    """Raise UnpicklingError for a pickle that numbers more objects than it has bytes: memory is claimed for them."""
    for code, argument, _ in pickletools.genops(data):
        if code.name in ("LONG_BINPUT", "PUT") and int(argument or 0) > len(data):
            raise pickle.UnpicklingError(f"it numbers {argument} objects")


class Reader(pickle.Unpickler):
    """An unpickler that knows only the names in `ALLOWED`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the function of this module that a name in the pickle is mapped to."""
        module = module.replace("numpy._core", "numpy.core")  # NumPy 2 renamed it
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not an array or a plain container")
        return ALLOWED[module, name]


class Maker:
    """A function that a pickle may call and cannot change: setting its state is refused."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        """Call the function with the pickle's arguments."""
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


class Dtype:
    """A plain number type, in the two steps in which a pickle builds it."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or (dtype := np.dtype(code)).kind not in KINDS:
            raise pickle.UnpicklingError(f"an array of type {shown(code)} is not of plain numbers")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"unknown byte order {shown(state[1])}")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """An array, in the two steps in which a pickle builds it; `data` is None after the first."""

    def __init__(self) -> None:
        self.data: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.data = array_of(raw, dtype, shape, "F" if fortran else "C")


def array_of(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    """Return the array of `shape` whose numbers are the bytes `raw` (as text where Python 2 wrote them)."""
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    whole = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, Dtype) or not whole:
        raise pickle.UnpicklingError("an array has no bytes, dtype or shape")
    if len(raw) != math.prod(shape) * dtype.dtype.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} has {len(raw)} bytes")
    return np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def begin_array(subtype: Any, shape: Any, typecode: Any) -> Array:
    """Return an array without data, in place of numpy.core.multiarray._reconstruct; its state follows."""
    return Array()


def array_from_buffer(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    """Return a complete array, in place of numpy.core.numeric._frombuffer (pickle protocol 5)."""
    array = Array()
    array.data = array_of(raw, dtype, shape, order)
    return array


def scalar(dtype: Any, raw: Any) -> Any:
    """Return a NumPy scalar as a plain number."""
    return array_of(raw, dtype, (), "C").item()


def encode_latin1(text: str, encoding: str) -> bytes:
    """Return bytes that Python 3 pickled as latin1 text in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {shown(encoding)} is not allowed")
    return text.encode("latin1")


def no_bytes() -> bytes:
    """Return no bytes, which protocol 2 writes as a call of `bytes`."""
    return b""


def refuse_call(*args: Any) -> None:
    """Stand for numpy.ndarray, which a pickle may name as a type and must not call."""
    raise pickle.UnpicklingError("it calls numpy.ndarray")


ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): Maker(encode_latin1),
    ("__builtin__", "bytes"): Maker(no_bytes),
    ("numpy", "ndarray"): Maker(refuse_call),
    ("numpy", "dtype"): Maker(Dtype),
    ("numpy.core.multiarray", "_reconstruct"): Maker(begin_array),
    ("numpy.core.multiarray", "scalar"): Maker(scalar),
    ("numpy.core.numeric", "_frombuffer"): Maker(array_from_buffer),
}
