"""Whether an HDF5 file is open for writing in another program, or was when that program was killed.

Neither is damage: the file has another program's work in progress. It is reported, and neither read nor replaced.
HDF5 has two signs. While a file is open for writing, HDF5 holds a lock on it (`flock`), which ends with the process. A
file with a superblock of version 3 (`libver="latest"`) has flags as well, which a killed process leaves set.
"""

from __future__ import annotations

import errno
import fcntl
import time
from pathlib import Path

from dsa_app.errors import BusyError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
VERSION, FLAGS = 8, 11  # bytes of the superblock: its version, and the flags of version 3
PATIENCE = 0.5  # seconds
OPEN_FOR_WRITING = 0b101  # the flags of a writer and of a SWMR writer


def check_not_in_use(path: Path) -> None:
    """Raise BusyError if the file at `path` is open for writing, or its writer was killed; any other file passes."""
    with path.open("rb") as file:
        start = file.read(FLAGS + 1)
        # A writer of ours holds a lock until just after it has renamed a complete file.
        until = time.monotonic() + PATIENCE
        while (locked := _is_locked(file.fileno())) and time.monotonic() < until:
            time.sleep(0.01)
    if locked:
        raise BusyError(
            f"{path} is open for writing in another program. It is neither read nor replaced. "
            "Close it there, or wait, and run the same command again."
        )
    flagged = len(start) > FLAGS and start.startswith(SIGNATURE) and start[VERSION] == 3
    if flagged and start[FLAGS] & OPEN_FOR_WRITING:
        raise BusyError(
            f"{path} was open for writing in a program that was killed. It is neither read nor replaced. Clear the "
            f"mark with HDF5's tools (h5clear -s {path}), or delete the file and run the same command again."
        )


def _is_locked(descriptor: int) -> bool:
    """Return whether another process, or another open file of this one, holds a lock for writing."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # released when the file is closed
    except OSError as error:
        # File systems without locks (some NFS) raise other errors: there, only the flags tell.
        return error.errno in (errno.EAGAIN, errno.EACCES)
    return False
