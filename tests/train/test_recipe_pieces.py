"""Trainings with the pieces of other recipes: resumed to the bit, and shared between processes."""

import pytest

from finished import content

REGIONS = {
    "network": {
        "main": {"trunk": "resnet18", "width": 0.125, "local_pooling": "regions", "size": [64, 32]},
        "weights": "none",
        "classifier_width": 8,
    },
    "regions": {"fit": 4, "fit_images": 6},
}


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": {"policy": "randaugment", "policy_share": 0.7, "operations": 3, "magnitude": 12}, **REGIONS},
        {"augment": {"policy": "autoaugment", "jitter": [0.2, 0.2, 0.2]}},
    ],
    ids=["randaugment with regions", "autoaugment"],
)
def test_two_epochs_are_one_and_one_to_the_bit(train, tmp_path, settings) -> None:
    train(tmp_path / "whole", **settings)
    train(tmp_path / "halves", epochs=1, workers=1, **settings)
    train(tmp_path / "halves", epochs=2, workers=3, **settings)
    assert content(tmp_path / "halves") == content(tmp_path / "whole")
