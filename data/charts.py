"""The 24 DensePose charts and the 8 body regions that the guide merges them into: their one definition."""

from __future__ import annotations

import numpy as np

from dsa_reid.body import REGION_NAMES

CHART_NAMES = (
    "torso back", "torso front", "right hand", "left hand", "left foot", "right foot",
    "right upper leg back", "left upper leg back", "right upper leg front", "left upper leg front",
    "right lower leg back", "left lower leg back", "right lower leg front", "left lower leg front",
    "left upper arm front", "right upper arm front", "left upper arm back", "right upper arm back",
    "left lower arm inside", "right lower arm inside", "left lower arm outside", "right lower arm outside",
    "right head", "left head",
)  # fmt: skip
"""Name of each chart, 1 to 24, as DensePose numbers them (chart I is at I - 1)."""

CHARTS = len(CHART_NAMES)

_NUMBERS = np.arange(CHARTS + 1)  # with 0 for the background
PARTNER = np.where(_NUMBERS > 2, (_NUMBERS - 1 ^ 1) + 1, _NUMBERS)
"""Each chart's partner on the body's other side, int64 (25,): 3 <-> 4, ..., 23 <-> 24; torso and 0 are their own."""

PAIRS: tuple[tuple[int, ...], ...] = (
    (1,),
    (2,),
    *((chart, chart + 1) for chart in range(3, 24, 2)),
)
"""Charts, from 1, that the first merging adds: 24 -> 13. The torso's back and front have no partner."""

_REGION_CHARTS: tuple[tuple[int, ...], ...] = (
    (1, 2),
    (3, 4),
    (5, 6),
    (7, 8, 9, 10),
    (11, 12, 13, 14),
    (15, 16, 17, 18),
    (19, 20, 21, 22),
    (23, 24),
)
BODY_REGIONS: dict[str, tuple[int, ...]] = dict(zip(REGION_NAMES, _REGION_CHARTS, strict=True))
"""Charts, from 1, of each of the 8 maps that the second merging leaves, in the order of f_L and d_L."""

NO_MAP = 255
"""The value of a chart image, and of an image of regions, where nothing is known: no person was detected."""

REGION_OF_CHART = np.full(256, NO_MAP, np.uint8)
"""Each chart's region, uint8 (256,): 0 for the background, 1 to 8 for charts 1 to 24, `NO_MAP` for all else."""
REGION_OF_CHART[0] = 0
for _number, _charts in enumerate(BODY_REGIONS.values(), start=1):
    REGION_OF_CHART[list(_charts)] = _number
REGION_OF_CHART.flags.writeable = False
