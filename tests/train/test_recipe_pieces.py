"""Trainings with the pieces of other recipes: resumed to the bit, and shared between processes."""

import pytest

from dsa_train import checkpoint
from finished import content

PLAIN = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8}
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
        {
            "augment": {"policy": "autoaugment", "jitter": [0.2, 0.2, 0.2]},
            "network": PLAIN | {"classifier": "arcface"},
            "losses": {"centre": 5e-4, "id_margin": 0.3},
            "ema": 0.9,
        },
    ],
    ids=["randaugment with regions", "autoaugment, arcface and centres"],
)
def test_two_epochs_are_one_and_one_to_the_bit(train, tmp_path, settings) -> None:
    train(tmp_path / "whole", **settings)
    train(tmp_path / "halves", epochs=1, workers=1, **settings)
    train(tmp_path / "halves", epochs=2, workers=3, **settings)
    assert content(tmp_path / "halves") == content(tmp_path / "whole")


def test_a_run_on_other_identities_takes_the_weights_without_the_centres(train, tmp_path, capsys) -> None:
    train(tmp_path / "first", epochs=1, losses={"centre": 5e-4})
    train(tmp_path / "second", epochs=1, network=PLAIN | {"weights": str(tmp_path / "first")}, losses={"centre": 5e-4})
    assert "first/checkpoint.pt" in capsys.readouterr().err
    first, second = (checkpoint.load(tmp_path / name / "checkpoint.pt")["network"] for name in ("first", "second"))
    assert first.keys() == second.keys() >= {"centres.z_global", "centres.z_local"}


def test_checkpoints_of_before_there_were_these_settings_are_resumed(train, tmp_path) -> None:
    train(tmp_path / "run", epochs=1)
    settings = checkpoint.load(tmp_path / "run" / "checkpoint.pt")["configuration"]["train"]
    assert not {"policy", "policy_share", "operations", "magnitude"} & settings["augment"].keys()
    assert not {"id_margin", "id_scale", "centre", "centre_rate"} & settings["losses"].keys()
    assert "classifier" not in settings["network"]
