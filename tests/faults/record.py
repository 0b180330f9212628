"""The recorded runs behind docs/reliability.md: `python tests/faults/record.py KIND`; the same command resumes one.

Each writes a line of JSON for each case beside the working folder, and at the end its counts to
benchmarks/results/faults_KIND.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "cases"))

from faults import endurance, fuzz, record  # noqa: E402
from faults.seeds import seeded  # noqa: E402

RESULTS = HERE.parents[1] / "benchmarks" / "results"
DISTURBANCES = {
    **{"kill": 8, "point": 12, "stop": 2, "full": 3, "read-only": 1},
    **{"several": 2, "clock": 1, "worker": 2, "orphans": 2, "rank": 6},
}  # cases of a stage


def main() -> None:
    """Record one kind of run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["disturbances", "readers", "endurance"])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "dsa-faults")
    parser.add_argument("--count", type=int, default=3300, help="readers: files for each reader")
    parser.add_argument("--records", type=int, default=1_000_000, help="endurance: of the largest dataset")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    if given.kind == "disturbances":
        lines = given.folder / "disturbances.jsonl"
        results = record.record(record.plan(DISTURBANCES), lines, given.folder / "disturbances", _tell)
        found = record.summary(results)
    elif given.kind == "readers":
        found = fuzz.record(seeded(given.folder / "seeds"), given.count, given.folder / "readers.jsonl", _tell)
    else:
        lines = given.folder / "endurance.jsonl"
        found = endurance.record(given.folder / "endurance", given.records, lines, _tell)
    about = {
        "commit": record.commit(),
        "python": platform.python_version(),
        "seconds": round(time.monotonic() - begun),
        **found,
    }
    path = RESULTS / f"faults_{given.kind}.json"
    path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(path)


def _tell(result: object) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
