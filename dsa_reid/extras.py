"""How to install an optional part of this project, from wherever this installation came."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION = "dsa-reid"


def install_command(extra: str) -> str:
    """Return the command that installs the extra `extra` ("search", "pipeline", ...) into this Python.

    The project is on no package index, so the command names where this installation came from: a clone, a wheel, an
    address. Where that is not known, or is gone, it names the packages of the extra.
    """
    origin = _origin()
    url, folder, vcs = origin.get("url", ""), origin.get("dir_info", {}), origin.get("vcs_info", {})
    path = url2pathname(urlsplit(url).path) if url.startswith("file:") else ""
    if vcs:
        wanted = [f"{DISTRIBUTION}[{extra}] @ {vcs['vcs']}+{url}@{vcs['commit_id']}"]
    elif path and Path(path).exists():
        wanted = [*(["-e"] if folder.get("editable") else []), f"{path}[{extra}]"]
    elif url and not path:
        wanted = [f"{DISTRIBUTION}[{extra}] @ {url}"]
    elif (clone := Path(__file__).resolve().parents[1] / "setup.cfg").is_file():
        wanted = ["-e", f"{clone.parent}[{extra}]"]
    else:
        wanted = _packages(extra)
    return " ".join([_pip(), "install", *map(shlex.quote, wanted)])


def _origin() -> dict[str, Any]:
    """Return what pip noted of where this installation came from (PEP 610); nothing if it did not."""
    try:
        noted: dict[str, Any] = json.loads(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
    except (metadata.PackageNotFoundError, ValueError):
        return {}
    return noted


def _packages(extra: str) -> list[str]:
    """Return the requirements of an extra, or the extra itself where even those are not known."""
    try:
        needed = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        needed = []
    mark = f'extra == "{extra}"'
    packages = [line.split(";")[0].strip() for line in needed if mark in line.replace("'", '"')]
    return packages or ["-e", f".[{extra}]"]  # in a clone


def _pip() -> str:
    """Return the words that call this Python's pip; in an environment that is not activated `pip` is another's."""
    ours = Path(sys.executable).parent
    found = shutil.which("pip")
    return "pip" if found and Path(found).parent == ours else f"{shlex.quote(sys.executable)} -m pip"
