"""The answer of a probe, and the text around it."""

import pytest

from dsa_train.probe.bootstrap import Interval
from dsa_train.probe.rows import AVERAGE, OTHERS, OWN, STRIPES, TEMPLATE
from dsa_train.probe.table import Column, Probe, plain, text, verdict

ABOVE, AROUND, BELOW = Interval(0.02, 0.01, 0.03), Interval(0.01, -0.01, 0.03), Interval(-0.02, -0.03, -0.01)


def column(name: str, over_others: Interval, over_template: Interval, over_stripes: Interval = ABOVE) -> Column:
    rows = (AVERAGE, STRIPES, TEMPLATE, OTHERS, OWN)
    values = {row: 0.1 + 0.01 * n for n, row in enumerate(rows)}
    over = {AVERAGE: ABOVE, STRIPES: over_stripes, TEMPLATE: over_template, OTHERS: over_others}
    right = {TEMPLATE: 0.5, OTHERS: 0.6, OWN: 0.7} if name != "both" else {}
    return Column(name, values, values, dict.fromkeys(rows, 0.1), over, right)


@pytest.mark.parametrize(
    ("others", "template", "shown"),
    [
        (ABOVE, ABOVE, True),
        (ABOVE, AROUND, False),
        (AROUND, ABOVE, False),
        (BELOW, ABOVE, False),
        (ABOVE, BELOW, False),
    ],
)
def test_semantics_need_both_controls(others: Interval, template: Interval, shown: bool) -> None:
    assert column("stride 16", others, template, BELOW).shows_semantics == shown


def test_verdicts() -> None:
    yes, no = column("stride 8", ABOVE, ABOVE), column("stride 16", AROUND, ABOVE)
    assert verdict(Probe([yes, yes], {})).startswith("These maps help: ")
    assert verdict(Probe([no, yes], {})) == "These maps help at stride 8 alone; elsewhere the controls are as good."
    assert verdict(Probe([no], {})).startswith("Not shown")


def test_the_text_has_every_number() -> None:
    found = text(Probe([column("stride 16", ABOVE, AROUND), column("both", ABOVE, ABOVE)], {}))
    lines = {line[2:54].strip(): line[54:].split("  ") for line in found.splitlines() if line.startswith("  ")}
    assert [word.strip() for word in lines[OWN] if word.strip()] in (["14.0", "14.0"], ["70"])
    assert "+1.0 [-1.0, 3.0]" in found
    assert all(row in found for row in (AVERAGE, STRIPES, TEMPLATE, OTHERS, OWN))
    assert all(line == line.rstrip() for line in found.splitlines())


def test_plain_values() -> None:
    values = plain(Probe([column("stride 16", ABOVE, AROUND)], {"trunk": "resnet50"}))
    level = values["levels"]["stride 16"]
    assert values["trunk"] == "resnet50"
    assert level["over"][OTHERS] == {"mean": 0.02, "low": 0.01, "high": 0.03}
    assert level["shows_semantics"] is False
