"""Training on a GPU: steps, resuming, bfloat16, DistributedDataParallel and every switch, against the CPU.

Tolerances: float32 losses within 1e-4 of the CPU's, relative, and the vector of all gradients within 1e-3 of its
length. Convolutions add up in another order; batch norm over 24 images enlarges such differences. bfloat16 has 8 bits:
losses within 5%, gradients with a cosine of at least 0.9.
"""

import socket
from collections.abc import Iterator

import pytest
import torch
import torch.distributed
from torch.nn.parallel import DistributedDataParallel

from compared import CPU, configuration, gradients, new_run, off, steps
from dsa_reid.preprocessing import Preprocessing
from dsa_train import checkpoint
from dsa_train.batches.augment import augment, sample_augmentation
from dsa_train.batches.dataset import Batch
from dsa_train.distributed import _Gather
from dsa_train.torch_setup import autocast, choose_device

pytestmark = pytest.mark.gpu

LOSS, GRADIENT = 1e-4, 1e-3  # relative, float32
LOSS_BF16, COSINE_BF16 = 0.05, 0.9


def test_auto_is_the_gpu_and_bfloat16_there(device: torch.device) -> None:
    assert choose_device("auto").type == device.type
    with autocast(device, "auto"):
        a = torch.ones(2, 2, device=device)
        assert (a @ a).dtype == (torch.bfloat16 if device.type == "cuda" else torch.float32)


def test_a_step_has_the_cpus_losses_gradients_and_statistics(device: torch.device) -> None:
    ours, reference = new_run(device), new_run(CPU)
    torch.testing.assert_close(steps(ours, 1), steps(reference, 1), rtol=LOSS, atol=0)
    assert off(gradients(ours), gradients(reference)) < GRADIENT
    expected = dict(reference.network.named_buffers())
    for name, value in ours.network.named_buffers():
        torch.testing.assert_close(value.cpu(), expected[name], rtol=1e-4, atol=1e-5, msg=name)


def test_a_batch_is_augmented_to_the_same_numbers(device: torch.device) -> None:
    """Crop, flip and erasing move bytes, and normalisation rounds the product and the difference separately."""
    config = configuration()
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 64, 32, 3), dtype=torch.uint8, generator=generator)
    texels = torch.randint(0, 256, (24, 24, 8, 8, 3), dtype=torch.uint8, generator=generator)
    valid = torch.rand((24, 24, 8, 8), generator=generator) < 0.6
    mirror = torch.randperm(24 * 8 * 8, generator=generator)
    found = {}
    for where in (device, CPU):
        sampled = sample_augmentation(24, 64, 32, config.augment, torch.Generator().manual_seed(1)).to(where)
        whole = Batch(images, texels, valid).to(where)
        from_seed = augment(whole, sampled, config.augment.pad, mirror.to(where), Preprocessing(64, 32))
        found[where] = [tensor.cpu() for tensor in from_seed if tensor is not None]
    for ours, expected in zip(found[device], found[CPU], strict=True):
        torch.testing.assert_close(ours, expected, rtol=0, atol=1e-6)


def test_a_run_is_resumed_on_the_gpu_and_on_the_cpu(device: torch.device, tmp_path) -> None:
    """Its third and fourth losses are those of the run that was not interrupted, wherever it is resumed."""
    whole = steps(new_run(device), 4)
    run = new_run(device)
    steps(run, 2)
    checkpoint.save(tmp_path / "checkpoint.pt", run.state({}))
    for where, tolerance in ((device, LOSS), (CPU, 20 * LOSS)):
        resumed = new_run(where)
        resumed.restore(checkpoint.load(tmp_path / "checkpoint.pt"))
        assert next(resumed.network.parameters()).device.type == where.type
        torch.testing.assert_close(steps(resumed, 2, first=2), whole[2:], rtol=tolerance, atol=0)


def test_deterministic_steps_are_the_same_to_the_bit(device: torch.device, monkeypatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            first, second = (steps(new_run(device), 3) for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first, second)


def test_bfloat16_is_near_the_cpus_float32(device: torch.device) -> None:
    ours, reference = new_run(device, precision="bfloat16"), new_run(CPU)
    torch.testing.assert_close(steps(ours, 1), steps(reference, 1), rtol=LOSS_BF16, atol=0)
    cosine = torch.nn.functional.cosine_similarity(gradients(ours), gradients(reference), dim=0)
    assert cosine > COSINE_BF16


@pytest.fixture
def one_process(device: torch.device) -> Iterator[torch.distributed.ProcessGroup]:
    """A process group of this process alone, of NCCL on a GPU."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = torch.distributed.TCPStore("127.0.0.1", port, 1, is_master=True)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    if device.type == "cuda":
        torch.cuda.set_device(torch.cuda.current_device())
    yield torch.distributed.new_group(backend="nccl" if device.type == "cuda" else "gloo")
    torch.distributed.destroy_process_group()


def test_distributed_data_parallel_with_one_process_is_the_same(
    device: torch.device, one_process: torch.distributed.ProcessGroup, monkeypatch
) -> None:
    run = new_run(device)
    run.module = DistributedDataParallel(run.network, process_group=one_process)
    monkeypatch.setattr(run.processes, "gather", lambda x: _Gather.apply(x, one_process))
    reference = new_run(CPU)
    torch.testing.assert_close(steps(run, 1), steps(reference, 1), rtol=LOSS, atol=0)
    assert off(gradients(run), gradients(reference)) < GRADIENT


SWITCHES = [
    {"channels_last": False},
    {"fused_optimiser": False},
    {"checkpoint_branches": True},
    {"guide_heads": "channels_last"},
    {"local_heads": "product"},
    {"local_heads": "dense"},
    {"cuda_graph": True},
    {"compile": "parts"},
    {"compile": "default"},
]


@pytest.mark.parametrize("switch", SWITCHES, ids=str)
def test_every_switch_has_the_cpus_losses(device: torch.device, switch: dict) -> None:
    if "compile" in switch and device.type == "cpu":
        pytest.skip("compiled on a CPU by tests/train/network/test_performance.py")
    run = new_run(device, speed=switch)
    torch.testing.assert_close(steps(run, 4), steps(new_run(CPU), 4), rtol=20 * LOSS, atol=0)
    torch.compiler.reset()
