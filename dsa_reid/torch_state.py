"""What a program sets in torch for itself, kept out of our computations: autocast, default type and device, modes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_lock = threading.Lock()
_within = 0  # calls of ours that need the default type float32 now
_theirs = torch.float32  # the default type to restore when the last of them is done


@contextmanager
def own_torch_state(device: str | torch.device = "cpu") -> Iterator[None]:
    """Compute as a fresh process would: in float32, without autocast and inference mode, tensors on the CPU by default.

    All of it belongs to the calling thread, except the default type, which torch keeps for the whole process: it is
    changed for as long as this lasts if the program had set another.

    Args:
        device: whose autocast is switched off.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autocast(torch.device(device).type, enabled=False))
        stack.enter_context(torch.device("cpu"))
        stack.enter_context(_float32_by_default())
        yield


@contextmanager
def _float32_by_default() -> Iterator[None]:
    global _within, _theirs
    with _lock:
        if not _within:
            _theirs = torch.get_default_dtype()
        _within += 1
        if torch.get_default_dtype() != torch.float32:
            torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        with _lock:
            _within -= 1
            if not _within and _theirs != torch.float32:
                torch.set_default_dtype(_theirs)
