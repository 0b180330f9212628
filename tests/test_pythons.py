"""The other Pythons that the metadata names, where they are on this machine; see also `make test-python`."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modules import FLOORS, MODULES, loaded
from repository import ROOT

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg")
VERSIONS = re.findall(r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
ALONE = [  # modules that need nothing but the standard library
    name
    for name in MODULES
    if all(one in MODULES or one.split(".")[0] in sys.stdlib_module_names for one in loaded(name))
]


def interpreter(version: str) -> Path:
    """Return the interpreter of a version, on the path or of pyenv."""
    known = [*Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), shutil.which(f"python{version}")]
    for path in filter(None, known):
        asked = [path, "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        said = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
        if said == version:
            return Path(path)
    pytest.skip(f"Python {version} is not on this machine")


def run(python: Path, *words: object) -> subprocess.CompletedProcess:
    """Run an interpreter with its standard library alone."""
    return subprocess.run([python, "-I", "-S", *map(str, words)], capture_output=True, text=True, cwd=ROOT)


def test_metadata_names_the_pythons_that_are_tested() -> None:
    assert VERSIONS == ["3.11", "3.12", "3.13"]
    assert SETUP["options"]["python_requires"] == f">={VERSIONS[0]}"
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in VERSIONS
    matrix = re.search(r"python: \[(.*)\]", (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert matrix is not None
    assert re.findall(r"[\d.]+", matrix[1]) == VERSIONS


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_module_compiles(version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    folders = [ROOT / name for name in [*FLOORS.values(), "benchmarks", "examples", "tests"]]
    cache = f"pycache_prefix={tmp_path}"
    done = run(python, "-X", cache, "-W", "error::SyntaxWarning", "-m", "compileall", "-q", "-f", *folders)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.rglob("*.pyc"))) > 300


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_what_needs_the_standard_library_alone_is_imported(version: str) -> None:
    python = interpreter(version)
    code = f"import sys; sys.dont_write_bytecode = True; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'src')!r}]\n"
    done = run(python, "-W", "error", "-c", code + "\n".join(f"import {name}" for name in ALONE))
    assert done.returncode == 0, done.stderr
    done = run(python, "-c", f"{code}import dsa_app.entry as entry; entry.dsap()")
    assert done.returncode == 2
    assert done.stderr.startswith("error: the package ")
    assert f"pip install -e '{ROOT}[pipeline]'" in done.stderr
