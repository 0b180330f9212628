"""Training: the step against the naive loop, every switch, layouts, kernels, small networks, losses against the CPU."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator
from typing import Any

import torch
from timing.side import Batch, Side
from torch.profiler import ProfilerActivity, profile
from train_step import compared, memory, naive, ours

import layouts
from dsa_reid.errors import ModelError
from dsa_train.config import TrainConfig
from dsa_train.losses.terms import loss_terms, total_loss
from dsa_train.network.two_stream import TwoStream

from .context import Context

Change = dict[str, Any]

SWITCHES: dict[str, Change] = {  # against the defaults, one at a time, the quick ones first
    "cuda_graph=true": {"speed": {"cuda_graph": True}},
    "channels_last=false": {"speed": {"channels_last": False}},
    "guide_heads=contiguous": {"speed": {"guide_heads": "contiguous"}},
    "guide_heads=channels_last": {"speed": {"guide_heads": "channels_last"}},
    "local_heads=dense": {"speed": {"local_heads": "dense"}},
    "local_heads=product": {"speed": {"local_heads": "product"}},
    "fused_optimiser=false": {"speed": {"fused_optimiser": False}},
    "branches=loop": {"network": {"branches": "loop"}},
    "checkpoint_branches=true": {"speed": {"checkpoint_branches": True}},
    "precision=float32": {"precision": "float32"},
    "compile=parts": {"speed": {"compile": "parts"}},
    "compile=parts, cuda_graph=true": {"speed": {"compile": "parts", "cuda_graph": True}},
    "compile=default": {"speed": {"compile": "default"}},
    "compile=reduce-overhead": {"speed": {"compile": "reduce-overhead"}},
}
ON_A_CPU = tuple(name for name in SWITCHES if not any(word in name for word in ("compile", "cuda", "float32")))
SMALL_NETWORKS = ("timm/mobilenetv2_100", "timm/vit_small_patch16_224")
SMALL_NETWORK_SWITCHES = (("cuda_graph=true",), ("compile=default", "compile=reduce-overhead"))  # the quick one first
KERNELS = 25  # rows of the table
ERROR = 300  # characters of the error of a switch
SEED = 0


def step(context: Context) -> None:
    """Keep the times of a step with and without data of both sides, shares, utilisation and memory."""
    config = context.config()
    data, files = context.data(config)
    sides: dict[str, Callable[[], Side]] = {
        "ours": lambda: ours(data, config, context.device),
        "naive": lambda: naive(data, files, config, context.device, workers=1),
    }
    images = 4 * config.identities
    context.keep(precision=config.precision, batch=images)
    both = {}
    for name, side in sides.items():
        before = allocated() // 2**20 if context.device.type == "cuda" else 0
        torch.backends.cudnn.benchmark = context.device.type == "cuda"  # as the trainer sets it
        both[name] = side()
        if context.device.type == "cuda":
            context.keep(**{f"peak_mib_{name}": memory(both[name]) - before})
    for measured in compared(both["ours"], both["naive"], data, context.turns):
        context.keep(**measured)


def switches(context: Context) -> None:
    """Keep the time of a step with each switch, as a share of the default's in the same turns."""
    against_default(context, {}, tuple(SWITCHES))


def small_networks(context: Context) -> None:
    """Keep the time of a step of trunks that are limited by launches rather than by arithmetic, and of each switch."""
    size = [context.size.values["height"], context.size.values["width"]]
    for switched in SMALL_NETWORK_SWITCHES:
        for trunk in SMALL_NETWORKS:
            network = {"weights": "none", "main": {"trunk": trunk, "size": size}}
            try:
                against_default(context, {"network": network}, switched, f"{trunk}, {switched[0].split('=')[0]}")
            except ModelError as error:
                context.keep(**{trunk: str(error)})


def against_default(context: Context, base: Change, names: tuple[str, ...], prefix: str = "") -> None:
    """Keep the milliseconds of a step without data, and the share of them that each switch takes.

    Args:
        base: settings of the default.
        names: of the switches.
        prefix: of the names of what is kept.
    """
    on_gpu = context.device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu
    config = context.config(**base)
    data, _ = context.data(config)
    batch = next(ours(data, config, context.device).batches)
    found: dict[str, Any] = {}
    before = allocated() if on_gpu else 0
    default = new_side(config, data.identities, context.device)
    if on_gpu:
        found["peak_mib"] = peak_of_steps(default, batch, before)
    found["ms"] = round(1e3 * context.turns.seconds({"": default.repeat(batch)})[""], 2)
    context.keep(**{prefix or "default": found})
    for name in names:
        if not on_gpu and name not in ON_A_CPU:
            continue
        change = SWITCHES[name] | ({"network": base["network"] | SWITCHES[name].get("network", {})} if base else {})
        try:
            found[name] = of_switch(context, context.config(**change), data.identities, default, batch)
        except Exception as error:  # a switch that fails, as where the machine has no compiler, leaves the others
            found[name] = {"failed": f"{type(error).__name__}: {error}"[:ERROR]}
        torch.compiler.reset()
        context.keep(**{prefix or "default": found})


def of_switch(context: Context, config: TrainConfig, identities: int, default: Side, batch: Batch) -> dict[str, Any]:
    """Return the share of the default's time that a step with a switch takes, and its peak memory on a GPU."""
    on_gpu = context.device.type == "cuda"
    before = allocated() if on_gpu else 0
    switched = new_side(config, identities, context.device)
    one: dict[str, Any] = {"peak_mib": peak_of_steps(switched, batch, before)} if on_gpu else {}
    seconds = context.turns.seconds({"default": default.repeat(batch), "switched": switched.repeat(batch)})
    return {"time": round(seconds["switched"] / seconds["default"], 3), **one}


def new_side(config: TrainConfig, identities: int, device: torch.device) -> Side:
    """Return the trainer's own side, without data."""
    torch.manual_seed(SEED)
    no_batches: Iterator[Batch] = iter(())
    return Side(TwoStream(config.network, identities).to(device), config, no_batches, ours=True)


def allocated() -> int:
    """Return the bytes allocated on the GPU, without what is no longer used."""
    gc.collect()  # a recorded step and its run hold each other
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


def peak_of_steps(side: Side, batch: Batch, before: int) -> int:
    """Return the greatest MiB allocated on the GPU in four steps, without `before`, the bytes of other networks.

    The first step does not count: cuDNN tries its algorithms in it. A CUDA graph is recorded in the third, after which
    its replays allocate nothing.
    """
    side.step(batch)
    torch.cuda.reset_peak_memory_stats()
    for _ in range(3):
        side.step(batch)
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) // 2**20


def parts_by_layout(context: Context) -> None:
    """Keep the milliseconds of each part of a step, forward and backward, in all variants."""
    case = "paper, batch 64" if context.device.type == "cuda" else "demo, batch 8"
    main, B, H, W, S = ({"trunk": "resnet50"}, 64, 256, 128, 32)
    if context.device.type == "cpu":
        main, B, H, W, S = ({"trunk": "resnet18", "width": 0.25}, 8, 64, 32, 16)
    layouts.CASES[case] = (main, B, H, W, S)
    found: dict[str, dict[str, float]] = {}
    for name, variants in layouts.variants_of(case, context.device, context.precision).items():
        seconds = context.turns.seconds(variants)
        found[name] = {variant: round(1e3 * taken, 2) for variant, taken in seconds.items()}
        context.keep(case=case, ms=found)


def kernels(context: Context) -> None:
    """Keep the kernels of a step by their time, as torch's profiler sees them; on a CPU its operators."""
    config = context.config()
    data, _ = context.data(config)
    side = ours(data, config, context.device)
    batch = next(side.batches)
    torch.backends.cudnn.benchmark = context.device.type == "cuda"
    for _ in range(context.turns.warm):
        side.step(batch)
    on_gpu = context.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as profiler:
        side.step(batch)
        context.turns.clock()
    rows = [
        {
            "kernel": event.key[:100],
            "calls": event.count,
            "ms": round((event.self_device_time_total if on_gpu else event.self_cpu_time_total) / 1e3, 3),
        }
        for event in profiler.key_averages()
        if not (on_gpu and event.is_user_annotation)
    ]
    rows = sorted((row for row in rows if row["ms"] > 0), key=lambda row: -row["ms"])
    total, calls = sum(row["ms"] for row in rows), sum(row["calls"] for row in rows)
    context.keep(ms=round(total, 2), calls=calls, rows=rows[:KERNELS])


def losses(context: Context) -> None:
    """Keep the losses of a training of the demo's network on the device, beside those of the CPU, in float32."""
    from .context import SMALL

    small = dataclasses.replace(context.size, values=SMALL)
    count = context.size.steps
    on_cpu = dataclasses.replace(context, size=small, device=torch.device("cpu"))
    found = {}
    for name, one, precision in (
        ("cpu", on_cpu, "float32"),
        ("device", dataclasses.replace(context, size=small), "float32"),
        ("device, bfloat16", dataclasses.replace(context, size=small), "bfloat16"),
    ):
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=False):
            found[name] = trained_losses(one, precision, count)
        context.keep(steps=count, losses=found)
    expected = torch.tensor(found["cpu"])
    for name in ("device", "device, bfloat16"):
        off = (torch.tensor(found[name]) - expected).abs() / expected
        key = name.replace(", ", "_")
        context.keep(
            **{
                f"{key}_off_in_first_step": float(off[0]),
                f"{key}_off_in_last_step": float(off[-1]),
                f"{key}_off_at_most": float(off.max()),
            }
        )


def trained_losses(context: Context, precision: str, count: int) -> list[float]:
    """Return the total loss of each of the first steps of a training with the same weights and batches everywhere."""
    config = context.config(precision=precision, identities=8)
    data, _ = context.data(config)
    side = ours(data, config, context.device)
    totals = []
    for _ in range(count):
        images, parts, labels = next(side.batches)
        total = total_loss(loss_terms(side.forward(images, parts), labels, config.losses))
        side.optimiser.zero_grad()
        total.backward()
        side.optimiser.step()
        totals.append(round(float(total.detach()), 6))
    return totals
