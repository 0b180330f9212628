"""Serving the page until it is stopped, with uvicorn (extra `browse`)."""

from __future__ import annotations

import socket
from collections.abc import Sequence

import uvicorn

from dsa_app.interrupt import Interrupted

from .app import application
from .gallery import Gallery

STOPPED = "Server stopped."
SHUTDOWN = 2  # seconds that answers may take after Ctrl-C


def serve(gallery: Gallery, listening: socket.socket, hosts: Sequence[str], token: str | None) -> None:
    """Serve a gallery on a socket until the process is interrupted.

    Args:
        hosts, token: see `app.application`.
    """
    config = uvicorn.Config(
        application(gallery, hosts, token),
        log_level="warning",
        access_log=False,  # it would note the token
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN,
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except Interrupted as stopped:
        stopped.line = STOPPED
        raise
