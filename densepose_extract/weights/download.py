"""Download of one large file: with progress, resumed after an interruption, verified, renamed when complete."""

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
from dsa_reid.atomic import flush

CHUNK = 1 << 20  # bytes
TIMEOUT = 30  # seconds without a byte
TRIES = 3  # in a row without a byte before the download fails
PAUSE = 2.0  # seconds between two tries


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Download `url` to the file `target`, and print its SHA-256.

    The bytes received so far are in `<target>.part`, from where the next try or call resumes. Other processes that need
    the same file wait for the one that downloads it.

    Raises CheckpointError if the download fails, or if the file has another digest than `sha256`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    with locked(target, busy=None):
        if target.exists():  # another process has downloaded it in the meantime
            return
        receive_all(url, part)
        actual = digest(part)
        if sha256 is not None and actual != sha256.lower():
            part.unlink()
            raise CheckpointError(
                f"{url} has SHA-256 {actual}, expected {sha256}. The download was deleted. "
                "Try again, or correct the pinned digest if you trust the server."
            )
        flush(part)
        os.replace(part, target)
        flush(target.parent)
        click.echo(f"{target}: SHA-256 {actual}", err=True)


def receive_all(url: str, part: Path) -> None:
    """Append to `part` until it is all of `url`, over as many connections as needed.

    Raises CheckpointError after `TRIES` in a row without a byte, or at once if the server refuses (HTTP 4xx).
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
                part.unlink()  # as long as the file or longer: of another version
            elif error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                raise _failure(url, reason, part) from None
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            reason = str(error)
        idle = 0 if size(part) > before else idle + 1
        if idle == TRIES:
            raise _failure(url, reason, part)
        time.sleep(PAUSE)


def receive(url: str, part: Path) -> bool:
    """Append the bytes that one connection delivers of `url` to `part`; return whether it is complete."""
    start = size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:
            start = 0  # the server ignored the range and sends the whole file
        length = int(response.headers.get("Content-Length", -1))
        if length < 0:
            raise CheckpointError(
                f"{url}: the server sends no Content-Length. Use another mirror: $DSA_CHECKPOINTS_URL."
            )
        with part.open("ab" if start else "wb") as file:
            for chunk in progress(chunks(response), length, f"downloading {part.stem}", "bytes", each=0):
                file.write(chunk)
    return size(part) == start + length


def chunks(response: IO[bytes]) -> Iterator[bytes]:
    """Yield a response in chunks of at most `CHUNK` bytes."""
    while chunk := response.read(CHUNK):
        yield chunk


def size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if it does not exist."""
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
        f"{url} could not be downloaded: {reason}. Run again to resume after {size(part):,} bytes, set a mirror in "
        "$DSA_CHECKPOINTS_URL, or download the file yourself and give its path: --checkpoint FILE."
    )
