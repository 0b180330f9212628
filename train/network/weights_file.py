"""Files of weights, read without running code in them: torch's and safetensors, with the dictionaries in them."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dsa_app.errors import CheckpointError
from dsa_reid.guard import check_stored, reason
from dsa_reid.model import FORMAT

from .file_kinds import AGAIN, STATE, class_in, is_safetensors, kind_of, listed

CONTAINERS = (
    "state_dict", "teacher", "model", "net", "network", "state", "student", "model_state_dict", "model_state", "params",
    "weights", "module",
)  # fmt: skip
"""Keys under which files have their weights, the first that is there: a teacher before its student."""

DEPTH = 4  # dictionaries around the weights, at most
HEADER = 8  # bytes of safetensors' header's length
LONGEST = 100_000_000  # bytes of such a header, safetensors' own limit
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
ARRAYS = [
    np.ndarray,
    *{type(np.dtype(code)) for code in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")},
]
"""Classes without code that files of features hold beside tensors: arrays of numbers."""

PLAIN = [argparse.Namespace, np.dtype, type(np.dtype("f8")), type(np.dtype("f4")), type(np.dtype("i8"))]
"""Classes without code that files of MoCo, DINO and torchreid hold beside the weights: arguments and best scores."""

EXPECTED = "expected weights: a state dict of torch.save, or safetensors"
OTHERWISE = "Or set train.network.weights to another file."
Weights = dict[str, torch.Tensor]


class Source(NamedTuple):
    """What a file of weights holds.

    Attributes:
        weights: by the file's own names; those of a model.pt under `trunk.`, its global head as layer4.
        sha256: of the file, hexadecimal.
        colours: mean and deviation of the colours of a model.pt; None for other files.
    """

    path: Path
    weights: Weights
    sha256: str
    colours: tuple[tuple[float, ...], tuple[float, ...]] | None = None


def read_source(path: Path) -> Source:
    """Return the weights in a file.

    Raises CheckpointError if it is missing, damaged, has no weights, or holds more than weights and plain values.
    """
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        kind = kind_of(path)
        if is_safetensors(path) or (kind and path.suffix == ".safetensors"):
            content = _safetensors(path)
        elif kind:  # torch would warn of some, and say less
            raise CheckpointError(f"{path} is {kind.what}; {EXPECTED}. {kind.remedy} {OTHERWISE}")
        else:
            content = _torch_file(path)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}. Set train.network.weights to another file."
        ) from None
    except CheckpointError:
        raise
    except Exception as error:  # torch raises many kinds for what it cannot read
        raise CheckpointError(f"{path} {_problem(path, error)} {OTHERWISE}") from None
    ours = isinstance(content, Mapping) and str(content.get("format")).startswith("dsa-reid")
    weights = _unwrapped(content)
    if weights is None:
        raise CheckpointError(
            f"{path} is not a state dict of tensors, nor one under {', '.join(CONTAINERS[:4])}: it holds "
            f"{listed(content)}. {STATE} {OTHERWISE}"
        )
    model = ours and content.get("format") == FORMAT
    return Source(path, _torchvision_names(weights) if ours else weights, sha256, _colours(content) if model else None)


def _problem(path: Path, error: Exception) -> str:
    """Return what is wrong with a file that could not be read, what was expected, and what would do."""
    if path.suffix == ".safetensors" or is_safetensors(path):
        return f"is damaged or no safetensors ({reason(error)}); {EXPECTED}. {AGAIN}"
    if name := class_in(error):
        return f"holds an object of the class {name}, whose code was not run; {EXPECTED}. {STATE}"
    return f"is damaged, or contains more than weights; no code in it was run; {EXPECTED}. {AGAIN}"


def read_plain(path: Path) -> Any:
    """Return what a file of torch.save holds: tensors, NumPy arrays of numbers, numbers, text and plain containers.

    Raises CheckpointError for a TorchScript program, and what torch raises for a damaged file or one that holds more.
    """
    rebuild = np.empty(0).__reduce__()[0]
    return _torch_file(path, [*ARRAYS, rebuild, (rebuild, "numpy.core.multiarray._reconstruct")])


def _torch_file(path: Path, more: Sequence[Any] = ()) -> Any:
    """Return what a file of torch.save holds, also classes of `more`. Raises whatever torch raises."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError(
                    f"{path} is a TorchScript program, which holds code. Save its weights alone: "
                    "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')."
                )
            check_stored(archive, path)
    scalar = np.float64(0).__reduce__()[0]
    plain: list[Any] = [*PLAIN, *more, scalar, (scalar, "numpy.core.multiarray.scalar")]  # the second name is NumPy 1's
    with torch.serialization.safe_globals(plain):
        return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> Weights:
    """Return the tensors of a safetensors file: a length, a header in JSON, and the numbers.

    Raises ValueError or what JSON and torch raise if it is not one.
    """
    data = path.read_bytes()
    length = int.from_bytes(data[:HEADER], "little")
    if not 0 < length <= min(LONGEST, len(data) - HEADER):
        raise ValueError("its header is longer than the file")
    header = json.loads(data[HEADER : HEADER + length])
    header.pop("__metadata__", None)
    body = memoryview(data)[HEADER + length :]
    return {name: _tensor(body, entry) for name, entry in header.items()}


def _tensor(body: memoryview, entry: Mapping[str, Any]) -> torch.Tensor:
    """Return one tensor of a safetensors file. Raises ValueError if its place and shape do not agree."""
    dtype, shape, (start, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    count = math.prod(shape)
    if not 0 <= start <= end <= len(body) or min(shape, default=1) < 0 or end - start != count * dtype.itemsize:
        raise ValueError("a tensor's place and shape do not agree")
    if not count:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(body[start:end]), dtype=dtype).view(shape)


def _unwrapped(content: Any) -> Weights | None:
    """Return the tensors in the dictionaries that files have around them, by name; None if there are none."""
    for _ in range(DEPTH):
        if not isinstance(content, Mapping):
            return None
        tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
        inner = next((content[key] for key in CONTAINERS if _holds_tensors(content.get(key))), None)
        if inner is None:
            others = [value for value in content.values() if not isinstance(value, torch.Tensor)]
            # A state dict has nothing else; in a training's file, loose tensors are not the network's weights.
            return tensors if tensors and not any(_holds_tensors(value) for value in others) else None
        content = inner
    return None


def _holds_tensors(value: Any, depth: int = DEPTH) -> bool:
    """Return whether a value is a dictionary with tensors in it, or in dictionaries in it."""
    return (
        depth > 0
        and isinstance(value, Mapping)
        and any(isinstance(one, torch.Tensor) or _holds_tensors(one, depth - 1) for one in value.values())
    )


def _torchvision_names(weights: Weights) -> Weights:
    """Return the trunk and the global head of a main stream of ours, the head as layer4; without the local head."""
    main = {name.removeprefix("main."): value for name, value in weights.items()}
    named = {name.replace("global_head.", "trunk.layer4.", 1): value for name, value in main.items()}
    return {name: value for name, value in named.items() if name.startswith("trunk.")}


def _colours(content: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of a model.pt; None where it has none that are numbers."""
    preprocessing = content.get("preprocessing")
    try:
        mean, std = (tuple(float(one) for one in preprocessing[name]) for name in ("mean", "std"))  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None
    return (mean, std) if len(mean) == len(std) == 3 else None
