"""Readers that a damaged file may crash, or make claim all memory: run in a process of their own, within limits."""

from __future__ import annotations

import os
import subprocess
import sys

MEMORY = 2 << 30  # bytes of address space that the process may take, libraries included
SECONDS = 60.0
LIMITS = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv.pop(1)),) * 2)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
"""


def run_apart(
    program: str, *arguments: str, reader: str, memory: int = MEMORY, seconds: float = SECONDS, given: bytes = b""
) -> bytes:
    """Run a Python program in a process of its own; return what it wrote to its standard output.

    Args:
        program: its arguments are `sys.argv[1:]`.
        reader: the name of what it runs, in errors: "SciPy".
        memory: bytes of address space that it may take.
        seconds: that it may take.
        given: its standard input.

    Raises ValueError with the last line of its errors, or that it crashed, or took too long.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-c", LIMITS + program, str(memory), *arguments],
            input=given,
            capture_output=True,
            timeout=seconds,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"{reader} timed out after {seconds:.0f} s") from None
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ValueError(words[-1] if words and done.returncode > 0 else f"{reader}'s reader crashed")
    return done.stdout
