"""The eight body regions of the local features. Needs no torch: the data floor builds its table of charts from it."""

REGION_NAMES = ("torso", "hands", "feet", "upper legs", "lower legs", "upper arms", "lower arms", "head")
"""The region that guided local head i: the order of the guide's second merging (section 3.2, Table 1)."""
