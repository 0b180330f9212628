"""What a message tells a user to install can be installed, from wherever the user stands."""

import ast
import configparser
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from dsa_reid import extras
from dsa_reid.extras import install_command
from repository import ROOT

PACKAGES = ["dsa_app", "data", "densepose_extract", "dsap", "dsa_reid", "train"]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
EXTRAS = dict(SETUP["options.extras_require"])
TOOLS = ("mkdocs", "mkdocstrings", "nbclient", "ipykernel")  # an environment from before these extras lacks them
PARTLY_INSTALLED = {
    "pose": ("ai_edge_litert",),
    "browser": ("playwright",),
    "docs": TOOLS[:2],
    "notebook": TOOLS[2:],
    "dev": TOOLS,
}
BARE = re.compile(r"dsa-reid\[")  # pip would look for it on an index, where it is not


def source(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def calls() -> dict[str, list[str]]:
    """Return where `install_command` is called, by the extra that it is called with."""
    found: dict[str, list[str]] = {}
    for path in (path for package in PACKAGES for path in source(package)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install_command":
                (argument,) = node.args
                assert isinstance(argument, ast.Constant), f"{path}:{node.lineno}: name the extra literally"
                found.setdefault(argument.value, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_every_extra_that_a_message_names_exists() -> None:
    named = calls()
    assert {"pipeline", "search", "export", "timm", "parquet", "dask", "tensorboard", "figure"} <= set(named)
    assert {extra: places for extra, places in named.items() if extra not in EXTRAS} == {}


def test_nothing_tells_to_install_the_project_by_its_bare_name() -> None:
    files = [path for package in [*PACKAGES, "examples", "benchmarks"] for path in source(package)]
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    own = ROOT / "dsa_reid" / "extras.py"
    bare = {
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*files, *pages]
        if path != own
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BARE.search(line)
    }
    assert bare == set()


def test_every_extra_in_the_documents_exists() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    named = {
        extra
        for path in pages
        for extras_ in re.findall(r"pip install[^`\n]*\[([\w,]+)\]", path.read_text(encoding="utf-8"))
        for extra in extras_.split(",")
    }
    assert {"search", "export", "timm", "dask"} <= named <= set(EXTRAS)


def test_the_page_of_the_installation_lists_every_extra() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == set(EXTRAS)


class Installed:
    """A distribution as importlib.metadata shows it."""

    def __init__(self, origin: object) -> None:
        self.origin = origin
        self.requires = [f'{line}; extra == "{extra}"' for extra, lines in EXTRAS.items() for line in lines.split()]

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.origin if isinstance(self.origin, str | None) else json.dumps(self.origin)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    """Pretend that this project was installed from somewhere, and that no clone is around it."""

    def pretend(origin: object) -> None:
        monkeypatch.setattr(metadata, "distribution", lambda name: Installed(origin))
        monkeypatch.setattr(extras, "__file__", "/usr/lib/python3/site-packages/dsa_reid/extras.py")
        monkeypatch.setattr(extras, "_pip", lambda: "pip")

    return pretend


def test_from_a_clone(installed, tmp_path: Path) -> None:
    clone = tmp_path / "my clone"
    clone.mkdir()
    installed({"url": clone.as_uri(), "dir_info": {"editable": True}})
    assert install_command("timm") == f"pip install -e '{clone}[timm]'"
    installed({"url": clone.as_uri(), "dir_info": {}})
    assert install_command("timm") == f"pip install '{clone}[timm]'"


def test_from_a_wheel(installed, tmp_path: Path) -> None:
    wheel = tmp_path / "dsa_reid-0.1.0-py3-none-any.whl"
    wheel.touch()
    installed({"url": wheel.as_uri(), "archive_info": {"hash": "sha256=00"}})
    assert install_command("search") == f"pip install '{wheel}[search]'"


def test_from_a_wheel_that_is_gone(installed, tmp_path: Path) -> None:
    installed({"url": (tmp_path / "dsa_reid-0.1.0-py3-none-any.whl").as_uri(), "archive_info": {}})
    assert install_command("search") == "pip install 'faiss-cpu>=1.8'"


def test_from_an_address(installed) -> None:
    installed({"url": "https://example.org/dsa_reid-0.1.0-py3-none-any.whl", "archive_info": {}})
    command = install_command("export")
    assert command == "pip install 'dsa-reid[export] @ https://example.org/dsa_reid-0.1.0-py3-none-any.whl'"
    installed({"url": "https://example.org/dsa-reid.git", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}})
    command = install_command("export")
    assert command == "pip install 'dsa-reid[export] @ git+https://example.org/dsa-reid.git@0123abc'"
    assert Requirement(shlex.split(command)[2]).extras == {"export"}


@pytest.mark.parametrize("noted", [None, "", "{}", "not json"])
def test_from_an_index_or_unknown(installed, noted: str | None) -> None:
    installed(noted)
    for extra in EXTRAS:
        wanted = shlex.split(install_command(extra))[2:]
        names = {Requirement(package).name.lower() for package in wanted}
        assert names == {Requirement(line).name.lower() for line in EXTRAS[extra].split("\n") if line}


def test_not_installed_at_all(installed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder dsa_reid alone was copied or is on the path."""

    def absent(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    installed(None)
    monkeypatch.setattr(metadata, "distribution", absent)
    assert install_command("search") == "pip install -e '.[search]'"
    monkeypatch.setattr(extras, "__file__", str(ROOT / "dsa_reid" / "extras.py"))
    assert install_command("search") == f"pip install -e '{ROOT}[search]'"


def test_the_pip_is_of_this_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In an environment that is not activated, `pip` would install into another."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install_command("search").startswith(f"{sys.executable} -m pip install ")
    (tmp_path / "pip").touch(mode=0o755)
    assert install_command("search").startswith(f"{sys.executable} -m pip install ")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert install_command("search").startswith("pip install ")


@pytest.mark.slow
@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"tensorboard"}))  # what `make env` installs, so all is there
def test_pip_accepts_the_command_here(extra: str) -> None:
    missing = [name for name in PARTLY_INSTALLED.get(extra, ()) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra {extra} is not complete here: {', '.join(missing)} is not installed")
    assert_accepted(install_command(extra), extra)


@pytest.mark.slow
def test_pip_accepts_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "_origin", dict)
    monkeypatch.setattr(extras, "__file__", "/usr/lib/python3/site-packages/dsa_reid/extras.py")
    command = install_command("search")
    assert "faiss-cpu" in command
    assert_accepted(command, "search")


def assert_accepted(command: str, extra: str) -> None:
    """Let pip resolve a command from what is installed; it says so where an extra is unknown to it."""
    words = shlex.split(command)
    place = words.index("install") + 1
    dry = [*words[:place], "--dry-run", "--no-index", "--no-build-isolation", *words[place:]]
    done = subprocess.run(dry, capture_output=True, text=True, env=os.environ | {"PIP_CONSTRAINT": ""})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "does not provide the extra" not in done.stdout + done.stderr, extra
