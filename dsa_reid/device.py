"""The device to compute on: one check and one message, for `dsa_reid.load` and for every command."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .errors import DeviceError


def device_name(name: str, local: int = 0) -> str:
    """Return the device that `name` means to this process: "auto" is a GPU if there is one, else the CPU.

    Args:
        local: number of this process on its machine (torchrun's LOCAL_RANK), used for a GPU that is named without one.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{local}" if name == "cuda" and local else name


def usable_device(name: str | torch.device, local: int = 0, types: Sequence[str] = ()) -> torch.device:
    """Return the device called `name` after checking that torch can allocate memory on it.

    Args:
        name: "auto", or as torch names it: "cpu", "cuda", "cuda:1", "mps".
        local: as for `device_name`.
        types: the only types of device that are supported, as in ("cpu", "cuda"); empty for all that torch has.

    Raises DeviceError if there is no such device, or its type is not supported.
    """
    name = device_name(str(name), local)
    reason = _unusable(name, types)
    if reason:
        raise DeviceError(f"Device {name!r} cannot be used: {reason}. Use auto, cpu, cuda or cuda:N.")
    return torch.device(name)


def _unusable(name: str, types: Sequence[str]) -> str:
    """Return why a device cannot be used; empty if it can."""
    try:
        device = torch.device(name)
    except RuntimeError:  # whose text lists every type that torch was ever built for
        return "torch knows no device of that name"
    if types and device.type not in types:
        return f"its type {device.type!r} is not supported"
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        return (
            f"torch finds {torch.cuda.device_count()} CUDA devices (check nvidia-smi, and that torch is built for CUDA)"
        )
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return ""
