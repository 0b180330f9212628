"""The origin of a measurement: command, commit, machine; and the memory that was used."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def origin(device: torch.device) -> dict[str, Any]:
    """Return the command, commit and machine, which are stored with every result."""
    return {"command": " ".join(["python", *sys.argv]), "commit": commit(), "machine": machine(device)}


def commit() -> str:
    """Return the commit that was measured; "unknown" where git or the repository's history is missing."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    try:
        found = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def machine(device: torch.device) -> dict[str, Any]:
    """Return the processor, its load, and the device."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    description: dict[str, Any] = {"cpu": cpu, "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    description |= {"load": round(os.getloadavg()[0], 1), "torch": torch.__version__, "device": str(device)}
    if device.type == "cuda":
        description["gpu"] = torch.cuda.get_device_name(device)
    return description


def peak(device: torch.device) -> int:
    """Return the peak memory so far in MiB, of the GPU if the device is one, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    status = Path("/proc/self/status").read_text()  # getrusage would count the parent's memory before exec
    return int(status.split("VmHWM:")[1].split()[0]) // 2**10
