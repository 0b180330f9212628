"""A run that starts from the weights of another: all but the classifiers, or an error."""

from pathlib import Path

import pytest
import torch

from dsa_app.errors import CheckpointError
from dsa_train import checkpoint
from dsa_train.network.two_stream import TwoStream
from dsa_train.pretrained import OF_IDENTITIES, load_pretrained


def test_both_streams_are_loaded_and_classifiers_keep_their_initial_weights(train, small, tmp_path: Path) -> None:
    train(tmp_path / "first", epochs=1)
    learnt = checkpoint.load(tmp_path / "first" / "checkpoint.pt")["network"]
    config = small().network
    torch.manual_seed(3)
    fresh = TwoStream(config, identities=9).state_dict()
    torch.manual_seed(3)
    network = TwoStream(config, identities=9)
    load_pretrained(network, type(config)(**{**vars(config), "weights": str(tmp_path / "first")}))
    for name, value in network.state_dict().items():
        assert torch.equal(value, (fresh if name.startswith(OF_IDENTITIES) else learnt)[name]), name


def test_a_run_starts_where_another_ended(train, tmp_path: Path) -> None:
    train(tmp_path / "first", epochs=1)
    still = {"warmup": 0, "lr": 1e-12}
    train(
        tmp_path / "second", epochs=1, schedule=still, network={**small_network(), "weights": str(tmp_path / "first")}
    )
    first, second = (checkpoint.load(tmp_path / name / "checkpoint.pt")["network"] for name in ("first", "second"))
    for name in ("main.trunk.conv1.weight", "main.global_head.0.conv1.weight"):
        torch.testing.assert_close(second[name], first[name], rtol=0, atol=1e-9)


def small_network() -> dict[str, object]:
    return {"main": {"trunk": "resnet18", "width": 0.125}, "classifier_width": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"guide": False}, r"has another network: .*settings\.json\), or .*weights=.*first/model\.pt$"),
        ({"main": {"trunk": "resnet18", "width": 0.25}}, "another network"),
    ],
)
def test_another_network_is_refused(train, tmp_path: Path, changes: dict[str, object], message: str) -> None:
    train(tmp_path / "first", epochs=1)
    network = {**small_network(), **changes, "weights": str(tmp_path / "first")}
    with pytest.raises(CheckpointError, match=message):
        train(tmp_path / "second", epochs=1, network=network)


def test_a_folder_without_a_checkpoint_is_refused(train, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    network = {**small_network(), "weights": str(tmp_path / "empty")}
    expected = r"checkpoint\.pt does not exist: .*with checkpoint\.pt, model\.pt and settings\.json\. "
    with pytest.raises(CheckpointError, match=expected + "Name the folder of a finished run"):
        train(tmp_path / "second", network=network)
    for name in ("other.pth", "model.safetensors"):  # as of a repository of the hub
        (tmp_path / "empty" / name).write_bytes(b"")
        with pytest.raises(CheckpointError, match=rf"{expected}.*add: --set train\.network\.weights=.*empty/{name}$"):
            train(tmp_path / "second", network=network)
