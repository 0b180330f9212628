"""Checkpoints: by name from a mirror on loopback, by path, pinned, and matched with the network."""

import hashlib
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from densepose_extract.engines.native import NativeEngine
from densepose_extract.network import MODELS
from densepose_extract.weights import checkpoint as checkpoints
from densepose_extract.weights.checkpoint import PUBLISHED, fill, load, model_of, obtain
from dsa_app.errors import CheckpointError
from loopback import Mirror, serving

NAME = "R_50_FPN_s1x"
CONTENT = pickle.dumps({"model": {"weight": np.ones(3, np.float32)}})
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving({f"/{PUBLISHED[NAME]}": CONTENT}) as made:
        yield made


def linear(**changes: object) -> dict[str, np.ndarray]:
    """Return the entries of a 2 → 3 linear layer, changed; None leaves one out."""
    values = {"weight": np.ones((3, 2), np.float32), "bias": np.zeros(3, np.float32)} | changes
    return {name: value for name, value in values.items() if value is not None}  # type: ignore[misc]


def test_every_model_has_its_public_address() -> None:
    # Those of CSE were trained by two losses, with the same network.
    assert {name.replace("_soft_", "_") for name in PUBLISHED} == set(MODELS)
    addresses = {name: f"{checkpoints.BASE}/{address}" for name, address in PUBLISHED.items()}
    assert addresses["R_101_FPN_DL_s1x"] == (
        "https://dl.fbaipublicfiles.com/densepose/densepose_rcnn_R_101_FPN_DL_s1x/165712116/model_final_844d15.pkl"
    )
    for name, address in addresses.items():
        folder = "cse/densepose_rcnn_" if name.startswith("CSE_") else "densepose_rcnn_"
        name = folder + name.removeprefix("CSE_")
        assert re.fullmatch(rf".*/densepose/{name}/\d{{9}}/model_final_[0-9a-f]{{6}}\.pkl", address)
    assert len(set(addresses.values())) == len(addresses)


def test_a_name_is_downloaded_once(mirror: Mirror, tmp_path: Path) -> None:
    path = obtain(NAME, tmp_path, mirror.base + "/", SHA)
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path)
    assert obtain(NAME, tmp_path, mirror.base, SHA) == path
    assert len(mirror.asked) == 1


def test_mirror_and_cache_come_from_the_environment(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DSA_CHECKPOINTS_URL", mirror.base)
    assert obtain(NAME).is_relative_to(tmp_path / "cache")


def test_a_cached_file_must_have_the_pinned_digest(mirror: Mirror, tmp_path: Path) -> None:
    path = obtain(NAME, tmp_path, mirror.base)
    path.write_bytes(CONTENT + b"rot")
    with pytest.raises(CheckpointError, match=f"has SHA-256 .*, expected {SHA}"):
        obtain(NAME, tmp_path, mirror.base, SHA)


def test_a_path_is_taken_as_it_is_and_may_be_pinned(tmp_path: Path) -> None:
    path = tmp_path / "own.pkl"
    path.write_bytes(CONTENT)
    assert obtain(path) == obtain(str(path), sha256=SHA.upper()) == path
    with pytest.raises(CheckpointError, match=f"{path} has SHA-256 {SHA}, expected 00"):
        obtain(path, sha256="00")


def test_an_unknown_name_is_named_with_the_nearest() -> None:
    with pytest.raises(
        CheckpointError, match=r"R_50_FPN is neither a file nor a known name\. Did you mean 'R_50_FPN_s1x'"
    ):
        obtain("R_50_FPN")


def test_loading_leaves_out_constants_and_gives_model_and_digest(tmp_path: Path) -> None:
    entries = {
        "pixel_mean": np.ones(3, np.float32),
        "pixel_std": np.ones(3, np.float32),
        "proposal_generator.anchor_generator.cell_anchors.0": np.ones((3, 4), np.float32),
        "backbone.bottom_up.res4.6.conv1.weight": np.ones(1, np.float32),
    }
    path = tmp_path / "own.pkl"
    path.write_bytes(pickle.dumps({"model": entries}))
    weights = load(path)
    assert list(weights.entries) == ["backbone.bottom_up.res4.6.conv1.weight"]
    assert weights.model == "R_101_FPN_s1x"
    assert weights.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_no_checkpoint_of_ours_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "own.pkl"
    path.write_bytes(CONTENT)
    with pytest.raises(
        CheckpointError,
        match=r"own\.pkl does not fit R_50_FPN_s1x: .* is missing; and [0-9]+ more like it; weight is not known",
    ):
        load(path).network()


@pytest.mark.parametrize("model", MODELS)
def test_the_model_is_known_by_its_entries(model: str) -> None:
    with torch.device("meta"):
        names = checkpoints.build(model).state_dict()
    assert model_of(dict.fromkeys(names, np.zeros(0))) == model


def test_entries_fill_the_network() -> None:
    layer = torch.nn.Linear(2, 3)
    fill(layer, linear(weight=np.full((3, 2), 2, np.float64), bias=np.zeros(3, ">f4")), "a.pkl")
    assert layer(torch.ones(2)).tolist() == [4, 4, 4]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"bias": None}, "bias is missing"),
        ({"gain": np.ones(1)}, "gain is not known to the model"),
        ({"weight": np.ones((2, 3), np.float32)}, r"weight has shape \(2, 3\), expected \(3, 2\)"),
        ({"weight": np.ones((3, 2), np.int64)}, "weight is int64, expected floating point"),
        ({"bias": None, "gain": np.ones(1)}, "bias is missing; gain is not known"),
        ({f"extra{n}": np.ones(1) for n in range(9)}, "extra2 is not known to the model; and 6 more like it"),
    ],
)
def test_entries_that_do_not_fit_are_named(changes: dict[str, object], problem: str) -> None:
    layer = torch.nn.Linear(2, 3)
    before = layer.weight.clone()
    with pytest.raises(CheckpointError, match=rf"a\.pkl does not fit .*{problem}"):
        fill(layer, linear(**changes), "a.pkl")
    assert torch.equal(layer.weight, before)


@pytest.mark.slow
def test_a_named_checkpoint_goes_from_the_server_into_the_engine(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = checkpoint.read_bytes()
    with serving({f"/{PUBLISHED[NAME]}": content}) as mirror:
        mirror.cuts = [len(content) // 2]
        monkeypatch.setattr("densepose_extract.weights.download.PAUSE", 0.0)
        monkeypatch.setenv("DSA_CHECKPOINTS_URL", mirror.base)
        engine = NativeEngine(NAME, cache=tmp_path)
        assert len(mirror.asked) == 2
    assert engine.identity["model"] == NAME
    assert engine.identity["checkpoint"] == hashlib.sha256(content).hexdigest()
