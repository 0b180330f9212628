"""Pictures and maps for the tests of stage two: any that may occur, drawn by Hypothesis."""

import numpy as np
from hypothesis import strategies as st


@st.composite
def pairs(draw: st.DrawFn, longest: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """A picture of noise and a valid I, U, V map: crowded or sparse, of few charts or all, with u and v at the ends."""
    height, width = draw(st.integers(1, longest)), draw(st.integers(1, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    charts = draw(st.lists(st.integers(1, 24), min_size=1, max_size=24, unique=True))
    levels = [0, 255, *draw(st.lists(st.integers(0, 255), max_size=40))]
    chart = rng.choice(charts, (height, width)) * (rng.random((height, width)) < draw(st.floats(0, 1)))
    u, v = rng.choice(levels, (2, height, width)) * (chart > 0)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return image, np.stack([chart, u, v], axis=2).astype(np.uint8)
