"""Cases one after the other, a line of JSON each, so that an interrupted recording is resumed."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .disturb import KINDS, Case, applies
from .stages import SHARED, SLOW, STAGES, Project, Stage
from .warm import Warm

ROOT = Path(__file__).resolve().parents[3]


def plan(kinds: dict[str, int], stages: Iterable[Stage] = (*STAGES, *SHARED)) -> list[tuple[str, Stage, int]]:
    """Return kind, stage and number of cases: so many of a kind for each stage, fewer where it has workers."""
    planned = []
    for kind, count in kinds.items():
        for stage in stages:
            if applies(kind, stage):
                fewer = stage.name in SLOW or (stage.workers and kind not in ("worker", "orphans"))
                some = max(1, count // 4) if fewer else count
                planned += [(kind, stage, number) for number in range(some)]
    # An interrupted recording has some of everything, and many kills.
    planned.sort(key=lambda case: case[2] * (1 if case[0] in ("kill", "point") else 4))
    return planned


def record(
    planned: Iterable[tuple[str, Stage, int]],
    lines: Path,
    folder: Path,
    done: Callable[[dict[str, Any]], None] = lambda result: None,
) -> list[dict[str, Any]]:
    """Carry out the cases that `lines` does not have, and append them; return the results of all that were planned."""
    known = {result["case"]: result for result in read(lines)}
    results = []
    with Warm() as warm:
        project = Project(folder / "project", warm)
        made = False
        for kind, stage, number in planned:
            name = f"{kind}/{stage.name}/{number}"
            if name not in known:
                if not made:
                    project.make()
                    made = True
                known[name] = {
                    "case": name,
                    "commit": commit(),
                    **carry_out(project, kind, stage, number, folder / "cases", warm),
                }
                with lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(known[name], sort_keys=True) + "\n")
                done(known[name])
            results.append(known[name])
    return results


def carry_out(project: Project, kind: str, stage: Stage, number: int, folder: Path, run: Any) -> dict[str, Any]:
    """Carry out one case; its folder is kept if it found a fault."""
    place = folder / f"{kind}-{stage.name.replace(' ', '-')}-{number}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    begun = time.monotonic()
    result = KINDS[kind](Case(project, stage, kind, number, place, run))
    if not result["faults"]:
        shutil.rmtree(place)
    return {"kind": kind, "stage": stage.name, "seconds": round(time.monotonic() - begun, 2), **result}


def read(lines: Path) -> list[dict[str, Any]]:
    """Return the results recorded so far."""
    return [json.loads(line) for line in lines.read_text().splitlines()] if lines.exists() else []


def summary(results: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return counts by kind: cases, disturbances that hit, and cases with a fault; and the faults themselves."""
    results = list(results)
    counts: dict[str, Counter[str]] = {}
    for result in results:
        count = counts.setdefault(result["kind"], Counter(cases=0, hits=0, faults=0))
        count["cases"] += 1
        count["hits"] += result["kills"]
        count["faults"] += bool(result["faults"])
    return {
        "kinds": {kind: dict(count) for kind, count in counts.items()},
        "stages": len({result["stage"] for result in results}),
        "found": [{"case": result["case"], "faults": result["faults"]} for result in results if result["faults"]],
        "commits": sorted({result["commit"] for result in results}),
    }


def commit() -> str:
    """Return the commit that is checked out, with a mark if files of the project differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(
        ["git", "status", "--porcelain", "-uno"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return head.stdout.strip() + ("+" if changed else "")
