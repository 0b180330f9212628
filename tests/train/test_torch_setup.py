import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_train.torch_setup import autocast, choose_device, memory_explained, prepare_torch


def test_auto_is_what_there_is():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda:99", "Device 'cuda:99' cannot be used"),
        ("gpu", "Device 'gpu' cannot be used"),
        ("mps", "its type 'mps' is not supported"),
    ],
)
def test_a_device_that_is_not_there(name, message):
    with pytest.raises(TrainingError, match=message):
        choose_device(name)


def test_precision():
    cpu, a = torch.device("cpu"), torch.ones(2, 2)
    for precision, dtype in (("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(cpu, precision):
            assert (a @ a).dtype == dtype


def test_seeds():
    prepare_torch(3, deterministic=False, threads=1)
    first = torch.rand(1)
    prepare_torch(3, deterministic=False, threads=1)
    assert torch.equal(torch.rand(1), first)


def test_out_of_memory_is_explained_and_other_errors_are_left():
    for error in (torch.OutOfMemoryError("x"), MemoryError(), RuntimeError("[enforce fail] can't allocate memory: 9")):
        explained = memory_explained("a batch of 64", "Take less.")
        with pytest.raises(TrainingError, match=r"Out of memory with a batch of 64\. Take less\."), explained:
            raise error
    with pytest.raises(RuntimeError, match="shapes"), memory_explained("", ""):
        raise RuntimeError("shapes do not fit")
