"""A few processes that work together by gloo, as torchrun would start them."""

import multiprocessing
import os
import socket


def together(work, size, *arguments, timeout=120, **settings):
    """Run `work(*arguments, **settings)` in `size` processes; return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_one, args=(work, rank, size, port, arguments, settings)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
        if process.is_alive():
            process.kill()
    return [process.exitcode for process in processes]


def _one(work, rank, size, port, arguments, settings):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    work(*arguments, **settings)
