"""Starts Python processes, alone or as a process group as torchrun would.

They are not forked: torch's autograd cannot be used in the fork of a process that has exported a network.
"""

import functools
import os
import socket
import subprocess
import sys
from pathlib import Path

import cloudpickle

TESTS = Path(__file__).parents[1]
PROGRAM = (
    "import faulthandler, sys; faulthandler.dump_traceback_later(float(sys.argv[1])); "  # prints where it hangs
    "import cloudpickle; cloudpickle.load(sys.stdin.buffer)()"
)


def fresh(work, *arguments, timeout=120, environment=(), **settings):
    """Start `work(*arguments, **settings)` in a new process; return a function that waits for its exit code."""
    for module in list(sys.modules.values()):  # the new process cannot import these
        if TESTS in Path(getattr(module, "__file__", None) or "/").parents:
            cloudpickle.register_pickle_by_value(module)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(0.9 * timeout)], stdin=subprocess.PIPE, env=os.environ | dict(environment)
    )
    process.stdin.write(cloudpickle.dumps(functools.partial(work, *arguments, **settings)))
    process.stdin.close()

    def ended():
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    return ended


def together(work, size, *arguments, **settings):
    """Run `work(*arguments, **settings)` in `size` processes; return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    world |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    started = [
        fresh(work, *arguments, environment={**world, "RANK": str(rank), "LOCAL_RANK": str(rank)}, **settings)
        for rank in range(size)
    ]
    return [ended() for ended in started]
