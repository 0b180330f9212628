"""Trainings under the guide that start from weights of other projects, and what they keep of them."""

from pathlib import Path

import pytest
import torch
import torchvision

import layouts
from dsa_app.config import build
from dsa_reid import MainStream, MainStreamConfig, Preprocessing, load, save
from dsa_train import checkpoint, stage
from dsa_train.network import colours
from dsa_train.network.colours import colours_of
from dsa_train.network.config import NetworkConfig

TINY = {"trunk": "timm/vit_tiny_patch16_224", "size": [64, 32]}


def with_timm(name: str) -> dict[str, torch.Tensor]:
    """Return the state dict of a model of timm with random weights."""
    timm = pytest.importorskip("timm", reason="the extra `timm` is not installed")
    torch.manual_seed(5)
    try:
        return timm.create_model(name, img_size=(64, 32)).state_dict()
    except TypeError:
        return timm.create_model(name).state_dict()


def resnet() -> dict[str, torch.Tensor]:
    return torchvision.models.resnet18(weights=None).state_dict()


def osnet() -> dict[str, torch.Tensor]:
    return layouts.TorchreidOsNet((16, 64, 96, 128)).state_dict()


@pytest.mark.parametrize(
    ("main", "content"),
    [
        pytest.param(
            {"trunk": "resnet18"},
            lambda: {"state_dict": layouts.prefixed("module.", resnet())},
            marks=pytest.mark.slow,
        ),
        ({"trunk": "osnet_x0_25"}, lambda: layouts.torchreid(osnet())),
        ({"trunk": "osnet_x0_25", "local_levels": [16, 8]}, lambda: layouts.torchreid(osnet())),
        (TINY, lambda: layouts.transreid(with_timm("vit_tiny_patch16_224"))),
        ({"trunk": "timm/regnety_002", "size": [64, 32]}, lambda: {"model": with_timm("regnety_002")}),
    ],
    ids=["resnet18", "osnet", "osnet at two levels", "TransReID", "projected"],
)
def test_a_training_starts_from_a_file_and_keeps_its_report(train, tmp_path, capsys, main, content):
    """The first step changes the trunk, model.pt and checkpoint.pt have the report, and a resumed run keeps it."""
    file = tmp_path / "weights.pth"
    torch.save(content(), file)
    network = {"main": main, "weights": str(file), "classifier_width": 8}
    model = train(tmp_path / "run", epochs=1, network=network)
    assert "Pretrained weights of weights.pth: " in capsys.readouterr().err
    file.unlink()
    train(tmp_path / "run", epochs=2, network=network)
    stored = torch.load(model, weights_only=True)["pretrained"]
    assert (stored["source"], stored["missing"]) == ("weights.pth", [])
    assert stored == checkpoint.load(tmp_path / "run" / "checkpoint.pt")["pretrained"]
    assert stored["colours"] == [list(one) for one in (load(model).preprocessing.mean, load(model).preprocessing.std)]


def test_a_training_from_random_weights_keeps_none(train, tmp_path):
    model = train(tmp_path / "run", epochs=1)
    assert "pretrained" not in torch.load(model, weights_only=True)
    state = checkpoint.load(tmp_path / "run" / "checkpoint.pt")
    assert "pretrained" not in state
    assert "colours" not in state["configuration"]["train"]["network"], "checkpoints of before it can be resumed"


def network(weights: str, trunk: str = "timm/vit_tiny_patch16_224", **settings) -> NetworkConfig:
    main = {"trunk": trunk, **({"size": [64, 32]} if trunk.startswith("timm/") else {})}
    return build(NetworkConfig, {"main": main, "weights": weights, **settings}, "test")


def test_colours_follow_the_weights(tmp_path):
    """Those of timm's metadata, of CLIP's names, of a model.pt; ImageNet's for a ResNet's file or random weights."""
    state = with_timm("vit_tiny_patch16_224")
    torch.save(state, tmp_path / "vit.pth")
    torch.save(layouts.clip(state), tmp_path / "clip.pth")
    torch.save(resnet(), tmp_path / "resnet.pth")
    mine = Preprocessing(64, 32, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    (tmp_path / "run").mkdir()
    for path in (tmp_path / "mine.pt", tmp_path / "run" / "model.pt"):
        save(MainStream(MainStreamConfig(trunk="resnet18", width=0.125)), path, mine)
    expected = {
        network("none"): colours.IMAGENET,
        network("imagenet"): colours.HALF,  # of vit_tiny_patch16_224.augreg_in21k_ft_in1k
        network("imagenet", "resnet50"): colours.IMAGENET,
        network(str(tmp_path / "vit.pth")): colours.HALF,
        network(str(tmp_path / "vit.pth"), colours="imagenet"): colours.IMAGENET,
        network(str(tmp_path / "clip.pth")): colours.CLIP,
        network(str(tmp_path / "resnet.pth"), "resnet18"): colours.IMAGENET,
        network(str(tmp_path / "resnet.pth"), "resnet18", colours="half"): colours.HALF,
        network(str(tmp_path / "mine.pt"), "resnet18"): (mine.mean, mine.std),
        network(str(tmp_path / "run"), "resnet18"): (mine.mean, mine.std),
        network("timm/vit_base_patch16_clip_224.openai"): colours.CLIP,
        network("timm/vit_base_patch16_224.mae"): colours.IMAGENET,
    }
    for config, own in expected.items():
        assert colours_of(config) == own, config.weights


def test_images_are_normalised_by_the_colours_of_the_weights(small, tmp_path):
    torch.save(with_timm("vit_tiny_patch16_224"), tmp_path / "vit.pth")
    config = small(network={"main": TINY, "weights": str(tmp_path / "vit.pth")})
    assert stage.preprocessing_of(config) == Preprocessing(64, 32, *colours.HALF)
    assert stage.preprocessing_of(config, {"pretrained": {"colours": [[0, 0, 0], [1, 1, 1]]}}).std == (1, 1, 1)


def hub(folder: Path, name: str, files: dict[str, bytes]) -> None:
    """Write a repository into a cache of the hub."""
    snapshot = folder / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / "a"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("a")
    for file, content in files.items():
        (snapshot / file).write_bytes(content)


def test_weights_of_the_hub(tmp_path, monkeypatch):
    """From the cache without any request; a name that is not there fails at once where there is no network."""
    pytest.importorskip("huggingface_hub", reason="the extra `timm` is not installed")
    import huggingface_hub
    from safetensors.torch import save as safetensors

    from dsa_reid import ModelError
    from dsa_reid import hub as ours
    from dsa_train.network.weights import load_weights

    state = with_timm("vit_tiny_patch16_224")
    metadata = b'{"pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6]}}'
    hub(tmp_path, "somebody/vit", {"model.safetensors": safetensors(state), "config.json": metadata})
    hub(tmp_path, "timm/vit_tiny_patch16_224.augreg_in21k", {"model.safetensors": safetensors(state)})
    asked = []
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.file_download.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(ours, "_reachable", lambda endpoint: bool(asked.append(endpoint)))
    for weights in ("hf-hub:somebody/vit", "timm/vit_tiny_patch16_224.augreg_in21k"):
        main = MainStream(MainStreamConfig(trunk=TINY["trunk"], size=(64, 32)))
        report = load_weights(main, weights)
        assert (report.source, report.missing) == (weights, ())
        assert torch.equal(main.trunk.body.model.cls_token, state["cls_token"])
    assert colours_of(network("hf-hub:somebody/vit")) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert asked == [], "all of it was in the cache"
    with pytest.raises(ModelError, match=r"^hf-hub:somebody/else could not be read.*cache of \$HF_HOME"):
        load_weights(main, "hf-hub:somebody/else")
    assert len(asked) == 1
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
