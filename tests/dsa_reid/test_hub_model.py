"""Models in folders and on a hub: the card, the files, and the way back, by a server on this machine."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import dsa_reid
from dsa_reid import MainStream, MainStreamConfig, ModelError, Preprocessing
from dsa_reid.hub_model import CARD, CONFIG, FILE, model_card
from hub_server import Hub, serving

METRICS = {"rank1": 0.912, "mAP": 0.8034, "mINP": 0.5, "queries": 3, "settings": {"dataset": "market1501"}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
    return dsa_reid.save(stream, tmp_path / "mine.pt", Preprocessing(32, 16))


def test_a_folder_has_the_model_its_card_and_its_preprocessing(model: Path, tmp_path: Path) -> None:
    folder = dsa_reid.save_pretrained(model, tmp_path / "shared", METRICS, "me/mine")
    assert sorted(path.name for path in folder.iterdir()) == sorted([FILE, CARD, CONFIG])
    assert (folder / FILE).read_bytes() == model.read_bytes()
    crops = [torch.randint(0, 256, (3, 40, 20), dtype=torch.uint8)]
    expected = dsa_reid.load(model).embed(crops)
    for source in (folder, str(folder), folder / FILE):
        assert torch.equal(dsa_reid.from_pretrained(source).embed(crops), expected)
    about = json.loads((folder / CONFIG).read_text())
    assert (about["input_size"], about["num_features"]) == ([3, 32, 16], expected.shape[1])
    assert about["sha256"] == dsa_reid.digest_of(model)
    dsa_reid.save_pretrained(folder / FILE, folder)  # of the file that is there already
    assert (folder / FILE).read_bytes() == model.read_bytes()


def test_the_card_is_metadata_of_the_hub_and_says_how_to_use_it(model: Path) -> None:
    card = model_card(dsa_reid.load(model), METRICS, "me/mine")
    start, metadata, text = card.split("---\n", 2)
    assert start == ""
    read = yaml.safe_load(metadata)
    assert read["library_name"] == "dsa-reid"
    (index,) = read["model-index"]
    (result,) = index["results"]
    assert result["dataset"]["name"] == "market1501"
    assert {one["name"]: one["value"] for one in result["metrics"]} == {"Rank-1": 91.2, "mAP": 80.34, "mINP": 50.0}
    assert 'dsa_reid.from_pretrained("me/mine")' in text
    assert "| 91.2 | 80.3 | 50.0 |" in text
    plain = model_card(dsa_reid.load(model))
    assert "Results" not in plain
    assert "model-index" not in yaml.safe_load(plain.split("---\n")[1])


def test_what_is_no_model_is_refused_and_no_code_runs(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"has no model\.pt\. Name the folder of a run"):
        dsa_reid.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"absent\.pt cannot be read"):
        dsa_reid.from_pretrained(tmp_path / "absent.pt")

    class Evil:
        def __reduce__(self) -> tuple:
            return open, (str(tmp_path / "ran"), "w")

    (tmp_path / FILE).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(ModelError):
        dsa_reid.from_pretrained(tmp_path)
    with pytest.raises(ModelError):
        dsa_reid.save_pretrained(tmp_path / FILE, tmp_path / "out")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(ModelError, match=r"is not the name of a repository\. Write OWNER/NAME"):
        dsa_reid.push_to_hub(model, "mine")


THERE_AND_BACK = """
import json, sys, torch, dsa_reid
model, metrics = sys.argv[1], json.loads(sys.argv[2])
print(dsa_reid.push_to_hub(model, "me/mine", metrics, token="hf_none"))
crops = [torch.zeros(3, 40, 20, dtype=torch.uint8)]
ours, theirs = dsa_reid.load(model).embed(crops), dsa_reid.from_pretrained("me/mine").embed(crops)
print(torch.equal(ours, theirs))
try:
    dsa_reid.from_pretrained("me/other")
except dsa_reid.ModelError as error:
    print(error)
"""


@pytest.mark.slow
def test_to_a_hub_and_back(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    with serving() as address:
        own = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment = own | {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
        done = subprocess.run(
            [sys.executable, "-c", THERE_AND_BACK, str(model), json.dumps(METRICS)],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        page, same, missing = done.stdout.splitlines()
        assert page == f"{address}/me/mine"
        assert same == "True"
        assert missing.startswith("hf-hub:me/other could not be read")
        assert missing.endswith("or give load() its path.")
        assert sorted(Hub.files) == [f"me/mine/{name}" for name in sorted([FILE, CARD, CONFIG])]
        assert Hub.files[f"me/mine/{FILE}"] == model.read_bytes()
        assert Hub.private == {"me/mine": True}
