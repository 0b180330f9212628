"""What a program sets in torch for itself reaches neither `load` nor `embed`: the same bits in every state."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, Preprocessing
from dsa_reid.torch_state import own_torch_state

CROPS = list(np.random.default_rng(0).integers(0, 256, (5, 40, 20, 3), dtype=np.uint8))


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


STATES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "bfloat16 autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "float16 autocast": lambda: torch.autocast("cpu", torch.float16),
    "float64 by default": lambda: default_type(torch.float64),
    "float16 by default": lambda: default_type(torch.float16),
    "meta by default": lambda: default_device("meta"),
    "cpu by default": lambda: default_device("cpu"),
    "within a device": lambda: torch.device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "gradients": torch.enable_grad,
}
SETTINGS = [
    {"trunk": "resnet18", "width": 0.125},
    {"trunk": "resnet18", "width": 0.125, "pooling": "gem", "neck": "bn"},
    pytest.param({"trunk": "timm/vit_tiny_patch16_224", "size": (64, 32)}, marks=pytest.mark.slow),
    pytest.param({"trunk": "timm/swin_tiny_patch4_window7_224", "size": (64, 32)}, marks=pytest.mark.slow),
    pytest.param({"trunk": "timm/convnext_atto", "size": (64, 32)}, marks=pytest.mark.slow),
]


@pytest.fixture(params=SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param["trunk"].startswith("timm/"):
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
    return saved(tmp_path / "model.pt", **request.param)


def saved(path: Path, **settings: Any) -> Path:
    torch.manual_seed(0)
    return dsa_reid.save(MainStream(MainStreamConfig(**settings)), path, Preprocessing(64, 32))


def in_the_caller(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    return work()


def in_a_thread(work: Callable[[], torch.Tensor]) -> torch.Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@pytest.mark.parametrize("where", [in_the_caller, in_a_thread])
@pytest.mark.parametrize("state", STATES)
def test_the_same_bits_in_every_state(path: Path, state: str, where: Callable[..., torch.Tensor]) -> None:
    before = dsa_reid.load(path)
    expected = before.embed(CROPS)

    def loaded_and_embedded() -> torch.Tensor:
        with STATES[state]():
            return dsa_reid.load(path).embed(CROPS, workers=2)

    def embedded() -> torch.Tensor:
        with STATES[state]():
            return before.embed(CROPS, batch_size=5)

    for work in (loaded_and_embedded, embedded):
        found = where(work)
        assert (found.dtype, found.device.type, found.requires_grad) == (torch.float32, "cpu", False)
        assert not found.is_inference()
        assert torch.equal(found, expected)
    assert torch.equal(before.embed(CROPS), expected)


@pytest.mark.parametrize("state", STATES)
def test_distances_in_every_state(state: str) -> None:
    a, b = torch.randn(3, 16), torch.randn(4, 16)
    parts = {"global": 8, "local": 8}
    expected = dsa_reid.distances(a, b), dsa_reid.distances(a, b, "cosine"), dsa_reid.region_distances(a, b, parts)
    with STATES[state]():
        found = dsa_reid.distances(a, b), dsa_reid.distances(a, b, "cosine"), dsa_reid.region_distances(a, b, parts)
    for ours, before in zip(found, expected, strict=True):
        assert torch.equal(ours, before)


@pytest.mark.parametrize("state", STATES)
def test_the_programs_state_is_left_as_it_was(tmp_path: Path, state: str) -> None:
    path = saved(tmp_path / "model.pt", trunk="resnet18", width=0.125, heads="global")

    def now() -> tuple[object, ...]:
        return (
            torch.get_default_dtype(),
            torch.get_default_device(),
            torch.is_inference_mode_enabled(),
            torch.is_grad_enabled(),
            torch.is_autocast_enabled("cpu"),
        )

    with STATES[state]():
        before = now()
        dsa_reid.load(path).embed(CROPS[0])
        assert now() == before
        with pytest.raises(dsa_reid.ModelError):
            dsa_reid.load(path).embed(b"no image")
        assert now() == before


def test_calls_that_overlap_restore_the_default_type_once() -> None:
    inside, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def hold(mine: threading.Event) -> torch.dtype:
        with own_torch_state():
            inside.wait(10)
            mine.wait(10)
            return torch.get_default_dtype()

    with default_type(torch.float64), ThreadPoolExecutor(2) as pool:
        both = [pool.submit(hold, event) for event in leave]
        inside.wait(10)
        leave[0].set()
        assert both[0].result() == torch.float32
        assert torch.get_default_dtype() == torch.float32  # the other still computes
        leave[1].set()
        assert both[1].result() == torch.float32
        assert torch.get_default_dtype() == torch.float64
