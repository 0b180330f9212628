"""One large file over HTTP: with progress, resumed where it was cut off, verified, put in place at once."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import click

from dsa_app.console import progress
from dsa_app.errors import CheckpointError
from dsa_app.lock import locked

CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte
TRIES = 3  # in a row that bring nothing, before it is given up
PAUSE = 2.0  # seconds between two tries


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Fetch `url` into the file `target`, and print its SHA-256.

    What has arrived stays beside the target as `.part`, and the next try or call goes on from there.
    Processes that want the same file wait for the one that fetches it.

    Raises CheckpointError where the server does not give the file, or another than `sha256` says.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with locked(target, busy=None):
        if target.exists():  # another process brought it meanwhile
            return
        receive_all(url, part)
        found = digest(part)
        if sha256 is not None and found != sha256.lower():
            part.unlink()
            raise CheckpointError(
                f"{url} has SHA-256 {found}, expected {sha256}; what was downloaded is deleted. "
                "Try again, or correct the pinned digest if you trust the server."
            )
        os.replace(part, target)
        click.echo(f"{target}: SHA-256 {found}", err=True)


def receive_all(url: str, part: Path) -> None:
    """Append to `part` until it is the whole of `url`, over as many connections as it takes.

    Raises CheckpointError after `TRIES` in a row that brought nothing, or at once where the server refuses.
    """
    idle = 0
    while True:
        before = size(part)
        try:
            if receive(url, part):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # longer than the file: of another version
            elif error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _failure(url, reason, part) from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(error)
        idle = 0 if size(part) > before else idle + 1
        if idle == TRIES:
            raise _failure(url, reason, part)
        time.sleep(PAUSE)


def receive(url: str, part: Path) -> bool:
    """Append to `part` what one connection brings of `url`; tell whether it is whole now."""
    start = size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # this server only gives whole files
        length = int(response.headers.get("Content-Length", -1))
        if length < 0:
            raise CheckpointError(f"{url}: the server does not say how long the file is. Use another mirror.")
        with part.open("ab" if start else "wb") as file:
            for chunk in progress(chunks(response), length, f"downloading {part.stem}", "bytes", each=0):
                file.write(chunk)
    return size(part) == start + length


def chunks(response: IO[bytes]) -> Iterator[bytes]:
    """Yield a response in pieces."""
    while chunk := response.read(CHUNK):
        yield chunk


def size(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _failure(url: str, reason: str, part: Path) -> CheckpointError:
    return CheckpointError(
        f"{url} could not be downloaded: {reason}. Run again to go on after the {size(part):,} bytes that are "
        "here, name a mirror in $DSA_CHECKPOINTS_URL, or fetch the file by hand and give its path."
    )
