"""The wheel of this repository, and fresh environments to install it in without a network."""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from repository import ROOT, sources

OURS = {"dsa_app", "dsa_data", "densepose_extract", "dsap", "dsa_reid", "dsa_train"}
COMMANDS = ("dsa-data", "densepose-extract", "dsap", "dsa-train")


def clone(folder: Path) -> Path:
    """Copy the repository's files, so that nothing else gets into what is built."""
    for source in sources():
        target = folder / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)
    return folder


def build_sdist(project: Path, out: Path) -> Path:
    """Build the source distribution of a project with the setuptools that are installed."""
    call("import setuptools.build_meta as b, sys; b.build_sdist(sys.argv[1])", out, cwd=project)
    (sdist,) = out.glob("*.tar.gz")
    return sdist


def build_wheel(source: Path, out: Path) -> Path:
    """Build the wheel of a project's folder or source distribution."""
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, source)
    (wheel,) = out.glob("*.whl")
    return wheel


def call(code: str, *arguments: object, cwd: Path) -> None:
    """Run Python code."""
    _run([sys.executable, "-c", code, *arguments], cwd=cwd)


def pip(*arguments: object, environment: Path | None = None) -> str:
    """Run pip, upon another environment if one is named; return what it said."""
    upon = [] if environment is None else ["--python", environment / "bin" / "python"]
    return _run([sys.executable, "-m", "pip", *upon, "--disable-pip-version-check", *arguments])


def _run(words: Iterable[object], cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, words)], cwd=cwd, capture_output=True, text=True, env=plain())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def plain(**more: str) -> dict[str, str]:
    """Return the environment variables without those that change where Python and we look."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DSA_", "PYTHON"))}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def needed(requirements: Iterable[str]) -> set[str]:
    """Return the names of the distributions that requirements need, all the way, as they are installed here."""
    waiting = [Requirement(line) for line in requirements]
    done: set[tuple[str, str]] = set()
    while waiting:
        wanted = waiting.pop()
        for extra in {"", *wanted.extras}:
            if (key := (canonicalize_name(wanted.name), extra)) not in done:
                done.add(key)
                lines = map(Requirement, metadata.requires(wanted.name) or [])
                waiting += [one for one in lines if one.marker is None or one.marker.evaluate({"extra": extra})]
    return {name for name, _ in done}


def linked(folder: Path, distributions: Iterable[str]) -> Path:
    """Make a folder for packages that holds links to some that are installed here, and to nothing else."""
    folder.mkdir()
    for name in distributions:
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}:
            link = folder / top
            if not link.exists() and Path(top).suffix != ".pth":
                link.symlink_to(Path(str(distribution.locate_file(top))).resolve())
    return folder


def environment(folder: Path, packages: Path, *wheels: Path) -> Path:
    """Make a virtual environment that sees a folder of packages, and install wheels in it."""
    venv.create(folder, symlinks=True)
    # A plain line of a .pth adds the folder itself; .pth files within it, as of editable installations, are not read.
    (site_packages(folder) / "packages.pth").write_text(f"{packages}\n")
    script = folder / "bin" / "pip"  # the pip of here, upon the environment: it needs no copy of its own
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pip --python "{folder}/bin/python" "$@"\n')
    script.chmod(0o755)
    if wheels:
        pip("install", "--quiet", "--no-deps", "--no-index", *wheels, environment=folder)
    return folder


def site_packages(environment: Path) -> Path:
    """Return the folder that an environment's packages are installed in."""
    (found,) = environment.glob("lib/python*/site-packages")
    return found


def run(
    environment: Path, command: str | Path, *arguments: object, cwd: Path, **variables: str
) -> subprocess.CompletedProcess:
    """Run a command of an environment, as a user would who activated it."""
    path = f"{environment / 'bin'}:{os.environ['PATH']}"
    own = environment / "bin" / command
    words = [own if own.exists() else command, *arguments]
    return subprocess.run(
        [*map(str, words)], cwd=cwd, capture_output=True, text=True, env=plain(PATH=path, **variables)
    )


def altered(environment: Path, distribution: str) -> list[str]:
    """Return the files of an installed distribution that are missing, or have other bytes than were installed."""
    (found,) = metadata.distributions(name=distribution, path=[str(site_packages(environment))])
    wrong = []
    for file in found.files or []:
        path = Path(str(file.locate()))
        if not path.is_file() or (file.hash and _hash(path) != file.hash.value):
            wrong.append(str(file))
    return wrong


def _hash(path: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode().rstrip("=")


def other_wheel(folder: Path) -> Path:
    """Write the wheel of another project, whose packages are called `data` and `train`."""
    files = {
        "data/__init__.py": "",
        "data/config.py": "whose = 'theirs'\n",
        "data/records.py": "whose = 'theirs'\n",
        "train/__init__.py": "",
        "train/config.py": "whose = 'theirs'\n",
        "other-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n",
        "other-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [f"{name},sha256={_hash_of(text)},{len(text)}\n" for name, text in files.items()]
    files["other-1.0.dist-info/RECORD"] = "".join(record) + "other-1.0.dist-info/RECORD,,\n"
    wheel = folder / "other-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel


def _hash_of(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def requirements(wheel: Path, extra: str = "") -> list[str]:
    """Return what a wheel itself says that it, or one of its extras, requires."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)]
        lines = re.findall(r"^Requires-Dist: (.*)$", archive.read(name).decode(), re.MULTILINE)
    found = map(Requirement, lines)
    return [f"{one.name}{one.specifier}" for one in found if extra_of(one) == extra]


def extra_of(requirement: Requirement) -> str:
    """Return the extra that a wheel's requirement belongs to; empty for one that always counts."""
    named = re.search(r'extra == "([\w-]+)"', str(requirement.marker or ""))
    return named[1] if named else ""
