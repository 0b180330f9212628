"""The commands: one call each, what they print, and one line for a mistake."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dsa_data.stores.dsap import DsapStore
from dsap.cli import main
from dsap_cases import Case


@pytest.fixture
def run(case: Case, monkeypatch: pytest.MonkeyPatch) -> "Run":
    return Run(case)


class Run:
    """Calls `dsap` on the tiny dataset."""

    def __init__(self, case: Case) -> None:
        self.case = case

    def __call__(self, command: str, *arguments: object) -> Result:
        paths = {"build": ["manifest", "iuv", "root"], "show": ["manifest", "iuv", "root"], "export": ["manifest"]}
        options = [
            option
            for name in paths.get(command, ["manifest", "iuv"])
            for option in (f"--{name}", str(getattr(self.case, name)))
        ]
        options += ["--out" if command == "build" else "--dsap", str(self.case.out), "--dataset", "market1501"]
        return CliRunner().invoke(main, [command, *options, *map(str, arguments)])


def test_build_reports_the_store(run: Run, case: Case) -> None:
    result = run("build", "--set", "warp.size=8")
    assert result.exit_code == 0, result.output
    store = DsapStore(case.out)
    assert f"{case.out}: {len(store)} images, 24 parts of 8x8 texels" in result.output
    assert f"{(store.counts.sum(axis=1) == 0).sum()} images without a person" in result.output
    assert "23 right head" in result.output
    assert "images a second" in result.output


def test_build_as_json(run: Run, case: Case) -> None:
    result = run("build", "--set", "warp.size=8", "--json", "--quiet")
    found, store = json.loads(result.stdout), DsapStore(case.out)
    assert (found["store"], found["images"], found["size"]) == (str(case.out), len(store), 8)
    assert found["bytes"] == case.out.stat().st_size
    head = found["charts"][22]
    assert (head["chart"], head["name"]) == (23, "right head")
    shown = store.counts[:, 22][store.counts[:, 22] > 0]
    assert head["visible"] == pytest.approx(len(shown) / len(store))
    assert head["valid"] == pytest.approx(shown.mean() / 64 if len(shown) else 0)


def test_build_one_split(run: Run, case: Case) -> None:
    assert run("build", "--set", "warp.size=8", "--split", "query").exit_code == 0
    assert len(DsapStore(case.out)) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "warp.sise=8"], "Did you mean 'size'?"),
        (["--set", "warp.size=1"], "warp: size = 1 is invalid"),
        (["--set", "warp.collision=first"], "warp: collision = 'first' is invalid"),
        (["--backend", "dask"], "need each other"),
        (["--manifest", "nowhere.csv"], "nowhere.csv does not exist"),
        (["--iuv", "nowhere.h5"], "nowhere.h5 does not exist. Make the maps first: densepose-extract run"),
        (["--split", "val"], "the split 'val' is empty"),
    ],
)
def test_a_mistake_is_one_line(run: Run, arguments: list[str], words: str) -> None:
    result = run("build", *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("error: ")
    assert words in result.output


def test_verify_show_and_export(run: Run, case: Case, tmp_path: Path) -> None:
    run("build", "--set", "warp.size=8")
    assert "no fault" in run("verify").output
    for arguments in ([], ["--compare"], ["--mean", "7"], ["query/0001_c1s1_000001_00.jpg"]):
        page = tmp_path / "page.png"
        result = run("show", *arguments, "--out", page)
        assert result.exit_code == 0, result.output
        assert page.stat().st_size > 1000
        page.unlink()
    result = run("export", "--split", "query", "--out", tmp_path / "parts")
    assert result.stdout == f"{tmp_path / 'parts'}: 3 images\n"


def test_verify_fails_on_a_fault(run: Run, case: Case) -> None:
    run("build", "--set", "warp.size=8", "--split", "query")
    result = run("verify")
    assert result.exit_code == 2
    assert "bounding_box_train/0002_c1s1_000002_01.jpg: is not in the store" in result.output
    assert "faults. Build it again: dsap build --dataset market1501 --manifest" in result.output
    assert run("verify", "--split", "query").exit_code == 0


def test_a_store_of_another_dataset_is_noted(run: Run) -> None:
    assert "note: " not in run("build", "--set", "warp.size=8", "--dataset", "tiny").stderr
    for command, named in (("verify", "market1501"), ("show", "market1501"), ("verify", "tiny"), ("show", "tiny")):
        result = run(command, "--dataset", named)
        noted = "is of the dataset tiny, this command of market1501." in result.stderr
        assert noted == (named == "market1501"), result.output


def test_fuse_writes_maps_that_build_takes(case: Case) -> None:
    """Random maps: what is found is not looked at here (tests/dsap/fuse)."""
    given = [f"--{name}={getattr(case, name)}" for name in ("manifest", "iuv", "root")]
    out = case.folder / "fused.h5"
    command = ["fuse", *given, "--dataset", "market1501", "--out", str(out), "--set", "fuse.size=8"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert re.search(r"images, 3 surfaces; exchanged: arms of \d+ maps?, legs of \d+ maps?", result.output)
    assert lines[-3:] == [str(out), str(case.folder / "fused_surfaces.h5"), str(case.folder / "fused.csv")]
    again = CliRunner().invoke(main, command)
    assert again.output.strip() == f"{out} is up to date"
    other = CliRunner().invoke(main, [*command, "--set", "fuse.most=2"])
    assert other.exit_code == 2
    assert "was made with other settings" in other.output
    built = ["build", given[0], f"--iuv={out}", given[2], "--dataset", "market1501", "--out", str(case.out)]
    assert CliRunner().invoke(main, [*built, "--set", "warp.size=8"]).exit_code == 0
