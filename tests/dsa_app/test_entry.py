"""Where the commands start: a package that is not there is named with its remedy, in one line."""

import importlib
import sys
import types

import pytest

from dsa_app import entry
from dsa_reid.extras import install_command

STARTS = {
    "dsa_data.cli": entry.data,
    "densepose_extract.cli": entry.extract,
    "dsap.cli": entry.dsap,
    "dsa_train.cli": entry.train,
}
COMMANDS = {
    "dsa_data.cli": "prepare",
    "densepose_extract.cli": "import",
    "dsap.cli": "verify",
    "dsa_train.cli": "evaluate",
}


@pytest.mark.parametrize("module", STARTS)
def test_runs_its_group(module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["command", "--help"])
    with pytest.raises(SystemExit) as left:
        STARTS[module]()
    assert left.value.code == 0
    assert f"\n  {COMMANDS[module]} " in capsys.readouterr().out


def missing(name: str | None):
    """Return a group of commands that meets a missing module while it works."""

    def main() -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    return types.SimpleNamespace(main=main)


@pytest.mark.parametrize("name", ["no_such_package", "no_such_package.inner"])
@pytest.mark.parametrize("module", STARTS)
def test_a_missing_package(
    module: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _: missing(name))
    with pytest.raises(SystemExit) as left:
        STARTS[module]()
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "error: the package no_such_package is not installed. Install what the commands need: "
        f"{install_command('pipeline')}\n"
    )


@pytest.mark.parametrize("name", ["click.no_such_module", "dsa_data.no_such_module", None])
def test_what_no_extra_would_bring_is_not_hidden(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda _: missing(name))
    with pytest.raises(ModuleNotFoundError):
        entry.dsap()
