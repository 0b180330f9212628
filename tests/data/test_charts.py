"""The 24 charts: partners, the pairs and regions of the two mergings, and that their names agree."""

import pytest

from dsa_data.charts import BODY_REGIONS, CHART_NAMES, CHARTS, NO_MAP, PAIRS, PARTNER, REGION_OF_CHART
from dsa_reid import REGION_NAMES


def test_partners_are_left_and_right_of_one_name() -> None:
    exchanged = str.maketrans({"L": "R", "R": "L"})
    sided = [name.replace("left", "L").replace("right", "R") for name in CHART_NAMES]
    assert [sided[PARTNER[chart] - 1] for chart in range(1, CHARTS + 1)] == [
        name.translate(exchanged) for name in sided
    ]
    assert PARTNER[0] == 0


def test_every_chart_is_in_one_pair_and_one_region() -> None:
    assert sorted(chart for pair in PAIRS for chart in pair) == list(range(1, 25))
    assert sorted(chart for region in BODY_REGIONS.values() for chart in region) == list(range(1, 25))
    assert len(PAIRS) == 13
    assert all(set(PARTNER[list(pair)]) == set(pair) for pair in PAIRS)
    assert all(sum(set(pair) <= set(charts) for charts in BODY_REGIONS.values()) == 1 for pair in PAIRS)


def test_the_region_of_a_chart_is_that_of_its_partner() -> None:
    assert REGION_OF_CHART[0] == 0
    assert (REGION_OF_CHART[25:] == NO_MAP).all()
    for number, charts in enumerate(BODY_REGIONS.values(), start=1):
        assert {int(REGION_OF_CHART[chart]) for chart in charts} == {number}
    assert (REGION_OF_CHART[PARTNER] == REGION_OF_CHART[:25]).all()


@pytest.mark.parametrize("region", BODY_REGIONS)
def test_regions_hold_the_charts_of_their_name(region: str) -> None:
    word = {"feet": "foot"}.get(region, region.removesuffix("s"))
    named = tuple(chart for chart, name in enumerate(CHART_NAMES, 1) if word in name)
    assert BODY_REGIONS[region] == named


def test_regions_are_in_the_order_of_the_local_features() -> None:
    assert tuple(BODY_REGIONS) == REGION_NAMES
