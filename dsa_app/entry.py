"""Where the four commands start: with the standard library alone, to name what a light installation lacks."""

from __future__ import annotations

import importlib
import sys

from dsa_reid.extras import install_command

OURS = {"dsa_app", "dsa_data", "densepose_extract", "dsap", "dsa_reid", "dsa_train"}


def data() -> None:
    """Run `dsa-data`."""
    _run("dsa_data.cli")


def extract() -> None:
    """Run `densepose-extract`."""
    _run("densepose_extract.cli")


def dsap() -> None:
    """Run `dsap`."""
    _run("dsap.cli")


def train() -> None:
    """Run `dsa-train`."""
    _run("dsa_train.cli")


def _run(module: str) -> None:
    """Run the command group `main` of a module; a package that is not installed is named, with the remedy."""
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if missing in OURS:
            raise
        print(
            f"error: the package {missing} is not installed; the commands need it: {install_command('pipeline')}",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    main()
