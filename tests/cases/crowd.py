"""A few rendered people of whom there are several images each."""

import numpy as np

from dsa_data.synthetic import shots
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.render import render

Crowd = list[tuple[list[np.ndarray], list[np.ndarray]]]


def render_crowd() -> Crowd:
    """Return images and true maps of eight people, six images each."""
    settings = SynthConfig(seed=5, train_identities=8, test_identities=2, distractors=0, junk=0)
    groups = [[render(shots.scene_of(settings, shot)) for shot in group] for group in shots.plan(settings)[:8]]
    return [([image for image, _ in group], [iuv for _, iuv in group]) for group in groups]
