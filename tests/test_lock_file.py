"""requirements.lock: all that setup.cfg asks for, in the versions of constraints.txt, every file with its hash."""

import configparser
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
BLOCKS = [block for block in re.split(r"\n(?=\S)", LOCK) if not block.startswith("#")]
LOCKED = {canonicalize_name(one.name): one for one in (Requirement(block.split("\\\n")[0]) for block in BLOCKS)}


def test_every_package_is_pinned_with_hashes() -> None:
    assert len(LOCKED) > 150
    for block in BLOCKS:
        name, *hashes = block.strip().split("\\\n")
        assert re.match(r"[A-Za-z0-9._-]+==\S+( ; .*)? $", name), name
        assert hashes, f"{name} has no hash"
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64} ?", line) for line in hashes), name


def test_versions_are_those_of_the_constraints() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            pinned = Requirement(line)
            assert LOCKED[canonicalize_name(pinned.name)].specifier == pinned.specifier, "make lock"


def _wanted() -> list[str]:
    """Return what the extra `dev` asks for, the extras that it names included."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    lines = setup["options"]["install_requires"].split("\n") + extras["dev"].split("\n")
    wanted = []
    for line in filter(None, map(str.strip, lines)):
        nested = re.fullmatch(r"%\((\w+)\)s", line)
        wanted += extras[nested[1]].split("\n") if nested else [line]
    return sorted(filter(None, map(str.strip, wanted)))


@pytest.mark.parametrize("wanted", _wanted())
def test_what_is_asked_for_is_locked(wanted: str) -> None:
    requirement = Requirement(wanted)
    (version,) = LOCKED[canonicalize_name(requirement.name)].specifier
    assert requirement.specifier.contains(version.version), "make lock"
