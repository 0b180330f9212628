"""One check of a device's name, and one message for all callers."""

import pytest
import torch

from dsa_reid.device import device_name, usable_device
from dsa_reid.errors import DeviceError


@pytest.mark.parametrize(
    ("name", "local", "expected"),
    [("cuda", 1, "cuda:1"), ("cuda", 0, "cuda"), ("cuda:3", 1, "cuda:3"), ("cpu", 1, "cpu"), ("mps", 1, "mps")],
)
def test_each_process_takes_its_own_gpu(name: str, local: int, expected: str) -> None:
    assert device_name(name, local) == expected


@pytest.mark.parametrize(("available", "expected"), [(True, "cuda:1"), (False, "cpu")])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch: pytest.MonkeyPatch, available: bool, expected: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert device_name("auto", 1) == expected


def test_auto_can_be_used() -> None:
    assert usable_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert usable_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gpu", "torch knows no device of that name"),
        ("cuda:99", f"torch finds {torch.cuda.device_count()} CUDA devices"),
        ("xla", r"[^.]+"),  # torch's own words
    ],
)
def test_a_device_that_is_not_there_is_refused(name: str, reason: str) -> None:
    with pytest.raises(DeviceError, match=rf"^Device '{name}' cannot be used: {reason}.*\. Use auto, cpu, cuda or"):
        usable_device(name)


def test_a_type_that_is_not_supported_is_refused() -> None:
    assert usable_device("meta").type == "meta"
    with pytest.raises(DeviceError, match=r"^Device 'meta' cannot be used: its type 'meta' is not supported\."):
        usable_device("meta", types=("cpu", "cuda"))
