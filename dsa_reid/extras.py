"""How to install an optional part of this project, from wherever this installation came."""

from __future__ import annotations

import json
from importlib import metadata
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "dsa-reid"


def install_command(extra: str) -> str:
    """Return the pip command that installs the extra `extra` ("search", "pipeline", ...) here.

    The project is on no package index, so the command names the clone or the wheel of this installation; where neither
    is known, the packages of the extra themselves.
    """
    try:
        origin = json.loads(metadata.distribution(DISTRIBUTION).read_text("direct_url.json") or "{}")
        needed = metadata.requires(DISTRIBUTION) or []
    except (metadata.PackageNotFoundError, ValueError):
        return f"pip install -e '.[{extra}]', in the project's folder"
    path = unquote(urlsplit(origin.get("url", "")).path) if origin.get("url", "").startswith("file:") else ""
    if path:
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return f"pip install {editable}'{path}[{extra}]'"
    mark = f'extra == "{extra}"'
    packages = [line.split(";")[0].strip() for line in needed if mark in line.replace("'", '"')]
    return "pip install " + " ".join(f"'{package}'" for package in packages)
