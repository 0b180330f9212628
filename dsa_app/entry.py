"""Where the four commands start, with the standard library alone, to report what a light installation lacks."""

from __future__ import annotations

import importlib
import importlib.util
import sys

from .interrupt import MESSAGE, end_silently, exit_at_once, exit_code


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
    """Run the command group `main` of a module; exit with code 2 where a package that it needs is not installed."""
    exit_at_once()
    try:
        importlib.import_module(module).main()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if not package or importlib.util.find_spec(package) is not None:
            raise  # the package is there, a module of it is not: no extra would bring it
        from dsa_reid.extras import install_command

        remedy = f"Install what the commands need: {install_command('pipeline')}"
        print(f"error: the package {package} is not installed. {remedy}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt as error:  # before or after the command itself, which catches its own
        print(MESSAGE, file=sys.stderr)
        raise SystemExit(exit_code(error)) from None
    finally:
        end_silently()
