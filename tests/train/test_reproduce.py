"""Every command of docs/reproduce.md is one: programs, options, datasets and experiments exist."""

import re
import shlex
from pathlib import Path

import click
import pytest

from data import cli as data_cli
from data.config import read_settings
from data.sets import SETS
from densepose_extract import cli as extract_cli
from dsap import cli as dsap_cli
from train import cli as train_cli
from train.config import TrainConfig
from train.experiments import ROWS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
LINES = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
PROGRAMS = {
    "dsa-data": data_cli.main,
    "densepose-extract": extract_cli.main,
    "dsap": dsap_cli.main,
    "dsa-train": train_cli.main,
}


@pytest.mark.parametrize("line", dict.fromkeys(LINES))
def test_every_line_is_a_command(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, name, *arguments = shlex.split(line)
    command = PROGRAMS[program].get_command(click.Context(PROGRAMS[program]), name)
    assert command is not None, line
    given, rest, _ = command.make_parser(click.Context(command)).parse_args(list(arguments))
    assert not rest, line
    assert given["dataset"] in SETS
    if "experiment" in given:
        settings = read_settings(None, given["dataset"], given["experiment"], given.get("assignments", ()))
        settings.section("train", TrainConfig)


def test_every_row_is_trained_and_measured():
    for row in ROWS:
        assert any(line.startswith("dsa-train run") and f"--experiment {row.experiment}" in line for line in LINES)
        measured = [line for line in LINES if line.startswith("dsa-train evaluate") and row.experiment in line]
        assert any(f"--match {row.match}" in line or "--match" not in line for line in measured)
