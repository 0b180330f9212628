"""Trainings with the pieces of other recipes: resumed to the bit, and shared between processes."""

import pytest
import torch

from dsa_app.errors import ConfigError
from dsa_reid import ModelError, load
from dsa_train import checkpoint, run_settings
from dsa_train.batches.dataset import Images
from dsa_train.config import with_cameras
from dsa_train.evaluation.features import extract
from dsa_train.explain.shares import feature_shares
from finished import content

PLAIN = {"main": {"trunk": "resnet18", "width": 0.125}, "weights": "none", "classifier_width": 8}
VIT = PLAIN | {
    "main": {
        "trunk": "timm/vit_tiny_patch16_224",
        "patch_stride": 12,
        "global_feature": "token",
        "sie": 3.0,
        "neck": "bn",
        "heads": "global",
    }
}
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
        {"network": VIT | {"guide": False, "classifier": "linear", "drop_path": 0.1}},
    ],
    ids=["randaugment with regions", "autoaugment, arcface and centres", "cameras and a class token"],
)
def test_two_epochs_are_one_and_one_to_the_bit(train, tmp_path, settings) -> None:
    if settings["network"]["main"]["trunk"].startswith("timm/"):
        pytest.importorskip("timm", reason="the extra `timm` is not installed")
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
    later = {"patch_stride", "global_feature", "sie", "unknown_camera", "cameras"}
    assert not later & settings["network"]["main"].keys()


def test_the_guide_rides_on_a_class_token_with_cameras(train, tiny, tmp_path) -> None:
    """A step changes the camera embeddings, the model knows its cameras, and evaluation gives each image its own."""
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    model = train(tmp_path / "run", epochs=1, network=PLAIN | {"main": VIT["main"] | {"heads": "both"}})
    loaded = load(model)
    assert loaded.main_stream.config.cameras == (1, 2, 3)
    assert loaded.parts == {"global": 192, "local": 192}
    state = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert state["configuration"]["train"]["network"]["main"]["cameras"] == [1, 2, 3]
    moments = [one["exp_avg"] for one in state["optimiser"]["state"].values() if one["exp_avg"].shape == (3, 1, 192)]
    assert len(moments) == 1
    assert (moments[0].flatten(1).abs().sum(1) > 0).all(), "each camera's embedding has a gradient"
    assert "train.network.main.cameras" not in run_settings.read(tmp_path / "run").values

    records = tiny.records("gallery")
    features = extract(loaded.main_stream, Images(tiny.root, records, loaded.preprocessing))
    paths, camids = [tiny.root / record.key for record in records], [record.camid for record in records]
    torch.testing.assert_close(loaded.embed(paths, batch_size=5, cameras=camids), features, atol=1e-4, rtol=0)
    unknown = loaded.embed(paths, cameras=[9] * len(paths))
    assert torch.equal(loaded.embed(paths), unknown)
    assert (unknown - features).abs().max() > 1e-3
    for wrong in (camids[:-1], [*camids, 1]):
        with pytest.raises(ModelError, match=r"cameras are for .* crops\. Give the camera of every crop"):
            loaded.embed(paths, batch_size=5, cameras=wrong)
    with pytest.raises(ConfigError, match=r"class token, which is no mean over positions\. Use --method occlusion"):
        feature_shares(loaded.main_stream, torch.zeros(1, 3, 64, 32))


def test_cameras_are_those_of_the_images(small) -> None:
    config = small(network=VIT)
    assert with_cameras(config, [4, 2, 4]).network.main.cameras == (2, 4)
    plain = small()
    assert with_cameras(plain, [4, 2]) is plain
    set_ = small(network=PLAIN | {"main": VIT["main"] | {"cameras": [1, 2]}})
    assert with_cameras(set_, [2, 1]) is set_
    with pytest.raises(ConfigError, match=r"of the cameras \[2, 4\], train\.network\.main\.cameras is \[1, 2\]"):
        with_cameras(set_, [4, 2])


def test_a_model_without_cameras_refuses_them(model) -> None:
    with pytest.raises(ModelError, match=r"has no embedding of the camera \(sie\)\. Leave cameras out"):
        load(model).embed([], cameras=[1])
