"""What a finished training has written, in a form that is compared by ==."""

import torch

from dsa_train import checkpoint


def content(out):
    """What must not depend on how often a run was interrupted: every value of the checkpoint, bytes of the rest."""
    files = [out / "model.pt", *sorted((out / "live").rglob("*.tsv"))]
    return [plain(checkpoint.load(out / "checkpoint.pt")), *(path.read_bytes() for path in files)]


def plain(value):
    """Bring tensors, to the last bit, into a form that is compared by ==."""
    if isinstance(value, torch.Tensor):
        return value.dtype, value.shape, value.numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
