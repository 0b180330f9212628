"""Read a pickled checkpoint without trusting it: arrays and plain containers, nothing that could run code.

A pickle names the functions that rebuild its objects, and an ordinary loader calls whatever it names. Here
each of the few names that NumPy's arrays need stands for a function of ours, which checks what it is given;
not even NumPy's own are called. Any other name ends the reading.
"""

from __future__ import annotations

import math
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dsa_app.errors import CheckpointError

KINDS = "fiub"  # floating point, integers, bool


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a checkpoint {"model": {name: array}, …}, pickled by Python 2 or 3 (latin1).

    Raises CheckpointError where the file is something else, is damaged, or holds anything besides arrays and
    plain containers.
    """
    try:
        with path.open("rb") as file:
            content = Reader(file, encoding="latin1").load()
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist. Name another checkpoint.") from None
    except OSError:
        raise
    except Exception as error:  # a damaged or hostile stream can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a checkpoint that can be trusted: {reason}.") from None
    model = content.get("model") if isinstance(content, dict) else None
    if not isinstance(model, dict):
        raise CheckpointError(f"{path} is not a DensePose checkpoint: expected a pickled {{'model': {{…}}}}.")
    arrays = {}
    for name, value in model.items():
        if not isinstance(name, str) or not isinstance(value, Array) or value.data is None:
            raise CheckpointError(f"{path}: entry {str(name)!r} is {type(value).__name__}, expected an array.")
        arrays[name] = value.data
    return arrays


class Reader(pickle.Unpickler):
    """An unpickler that knows only the names in `ADMITTED`."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a name of the pickle stands for here."""
        module = module.replace("numpy._core", "numpy.core")  # NumPy 2 renamed it
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is no array or plain container")
        return ADMITTED[module, name]


class Maker:
    """A function that a pickle may call and cannot change: what builds on it is refused."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self._make = make

    def __call__(self, *args: Any) -> Any:
        """Make what the pickle asks for."""
        return self._make(*args)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("it tries to change a function")


class Dtype:
    """A plain number type, in the two steps in which a pickle gives it."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False) -> None:
        if not isinstance(code, str) or (dtype := np.dtype(code)).kind not in KINDS:
            raise pickle.UnpicklingError(f"an array of {code!r} holds no plain numbers")
        self.dtype = dtype

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {state[1]!r} is not known")
        self.dtype = self.dtype.newbyteorder(state[1])


class Array:
    """An array, in the two steps in which a pickle gives it; `data` is None after the first."""

    def __init__(self) -> None:
        self.data: np.ndarray | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        self.data = filled(raw, dtype, shape, "F" if fortran else "C")


def filled(raw: Any, dtype: Any, shape: Any, order: str) -> np.ndarray:
    """Return the array of `shape` whose numbers are the bytes `raw` (as text where Python 2 wrote them)."""
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    whole = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
    if not isinstance(raw, bytes | bytearray) or not isinstance(dtype, Dtype) or not whole:
        raise pickle.UnpicklingError("an array's parts are not what they should be")
    if len(raw) != math.prod(shape) * dtype.dtype.itemsize:
        raise pickle.UnpicklingError(f"an array of shape {shape} comes with {len(raw)} bytes")
    return np.frombuffer(raw, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def begun(subtype: Any, shape: Any, typecode: Any) -> Array:
    """Begin an array, as numpy.core.multiarray._reconstruct; its state follows."""
    return Array()


def wrapped(raw: Any, dtype: Any, shape: Any, order: Any = "C") -> Array:
    """Return a whole array, as numpy.core.numeric._frombuffer (pickle protocol 5)."""
    array = Array()
    array.data = filled(raw, dtype, shape, order)
    return array


def number(dtype: Any, raw: Any) -> Any:
    """Return a NumPy scalar as a plain number."""
    return filled(raw, dtype, (), "C").item()


def encoded(text: str, encoding: str) -> bytes:
    """Return bytes that Python 3 pickled as latin1 text in protocol 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r} is not admitted")
    return text.encode("latin1")


def nothing() -> bytes:
    """Return no bytes, which protocol 2 writes as a call of `bytes`."""
    return b""


def refused(*args: Any) -> None:
    """Stand for a class that is named as a type only."""
    raise pickle.UnpicklingError("it calls numpy.ndarray itself")


ADMITTED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): Maker(encoded),
    ("__builtin__", "bytes"): Maker(nothing),
    ("numpy", "ndarray"): Maker(refused),
    ("numpy", "dtype"): Maker(Dtype),
    ("numpy.core.multiarray", "_reconstruct"): Maker(begun),
    ("numpy.core.multiarray", "scalar"): Maker(number),
    ("numpy.core.numeric", "_frombuffer"): Maker(wrapped),
}
