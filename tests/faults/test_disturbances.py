"""Commands that are killed, stopped, out of space, started twice, or without their workers: the same bytes afterwards.

A short form of the recorded run (`python tests/faults/record.py disturbances`), a few cases of each kind.
"""

import random
from pathlib import Path

import pytest

from faults import record
from faults.disturb import can_mount
from faults.stages import SHARED, SLOW, STAGES, Project
from faults.warm import Warm

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SHARES = {
    "kill": 12,
    "stop": 8,
    "full": 10,
    "several": 8,
    "read-only": 4,
    "clock": 3,
}  # stages, drawn by the kind's name


def chosen() -> list[tuple[str, str]]:
    quick = [stage.name for stage in STAGES if not stage.workers and stage.name not in SLOW]
    drawn = [(kind, name) for kind, count in SHARES.items() for name in random.Random(kind).sample(quick, count)]
    parallel = [stage.name for stage in STAGES if stage.workers]
    return [
        *drawn,
        ("worker", parallel[0]),
        ("worker", parallel[1]),
        ("orphans", parallel[2]),
        ("stop", parallel[0]),
        ("rank", SHARED[0].name),
    ]


@pytest.mark.parametrize(("kind", "name"), chosen())
def test_the_same_bytes_in_the_end(kind: str, name: str, disturbed: Project, warm: Warm, tmp_path: Path) -> None:
    if kind == "read-only" and not can_mount():
        pytest.skip("only root may mount a file system")
    stage = next(stage for stage in (*STAGES, *SHARED) if stage.name == name)
    result = record.carry_out(disturbed, kind, stage, 0, tmp_path, warm)
    assert not result["faults"], result
