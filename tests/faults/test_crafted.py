"""Files that were once a fault are refused in one short line, with no more memory than their size allows."""

from pathlib import Path

import pytest

from faults import fuzz
from faults.crafted import crafted
from faults.readers import Reader

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_every_one_is_refused(whole_files: dict[str, Reader], tmp_path: Path) -> None:
    by_reader: dict[str, list[tuple[str, str, bytes]]] = {}
    for reader, what, file, data in crafted(whole_files):
        by_reader.setdefault(reader, []).append((what, file, data))
    wrong = []
    for reader, cases in by_reader.items():

        def make(_: Reader, number: int, cases: list[tuple[str, str, bytes]] = cases) -> tuple[str, bytes]:
            return cases[number][1:]

        counts, findings = fuzz.run(whole_files[reader], range(len(cases)), tmp_path / "try", make)
        wrong += [(reader, cases[finding.number][0], finding.what, finding.where) for finding in findings]
        for number, (what, file, data) in enumerate(cases if counts["read"] else []):
            path = fuzz.place(whole_files[reader], file, data, tmp_path / "try")
            if fuzz.outcome(whole_files[reader], path)[0] == "read":
                wrong.append((reader, what, "read", str(number)))
    assert not wrong, "\n".join(map(str, wrong))
    assert sum(map(len, by_reader.values())) > 150
