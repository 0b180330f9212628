"""Weights of the trunk: from the cache, from a file, or an error; never silently random."""

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
import torchvision

from dsa_app.errors import CheckpointError, ConfigError
from dsa_reid import MainStream, MainStreamConfig
from dsa_reid.model import save
from dsa_reid.preprocessing import Preprocessing
from dsa_train.network import weights
from dsa_train.network.weights import load_trunk


@pytest.fixture(scope="module")
def theirs() -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return torchvision.models.resnet18(weights=None).state_dict()


@pytest.fixture
def cache(tmp_path: Path, theirs: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file that bears its digest in its name, as torchvision's do, and no network."""
    torch.save(theirs, tmp_path / "weights")
    digest = hashlib.sha256((tmp_path / "weights").read_bytes()).hexdigest()
    name = f"resnet18-{digest[:8]}.pth"
    (tmp_path / "weights").rename(tmp_path / name)
    monkeypatch.setitem(weights.IMAGENET, "resnet18", f"http://127.0.0.1:9/{name}")
    return tmp_path


def stream(**settings: object) -> MainStream:
    torch.manual_seed(0)
    return MainStream(MainStreamConfig(**({"trunk": "resnet18"} | settings)))


def test_the_files_are_torchvisions_first_and_the_ibn_authors() -> None:
    assert weights.IMAGENET == {
        "resnet18": "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "resnet50": "https://download.pytorch.org/models/resnet50-0676ba61.pth",
        "resnet50_ibn": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet50_ibn_a-d9d0bb7b.pth",
        "resnet101_ibn": "https://github.com/XingangPan/IBN-Net/releases/download/v1.0/resnet101_ibn_a-59ea0ac6.pth",
    }


def test_names_and_shapes_are_torchvisions_at_the_papers_size() -> None:
    with torch.device("meta"):
        expected = torchvision.models.resnet50(weights=None).state_dict()
        main = MainStream()
    ours = main.trunk.state_dict() | {f"layer4.{k}": v for k, v in main.global_head.state_dict().items()}
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in expected.items() if not k.startswith("fc.")}


def test_from_the_cache_into_the_trunk_alone(cache: Path, theirs: dict[str, torch.Tensor]) -> None:
    main, untouched = stream(), stream()
    read = load_trunk(main, "imagenet", cache=cache)
    assert read is not None
    assert read.parent == cache
    for name, value in main.trunk.state_dict().items():
        assert torch.equal(value, theirs[name])
    for head in ("global_head", "local_head"):
        for name, value in getattr(main, head).state_dict().items():
            assert torch.equal(value, getattr(untouched, head).state_dict()[name])


def test_conv5_by_option(cache: Path, theirs: dict[str, torch.Tensor]) -> None:
    main = stream()
    load_trunk(main, "imagenet", conv5_init="imagenet", cache=cache)
    for name, value in main.global_head.state_dict().items():
        assert torch.equal(value, theirs[f"layer4.{name}"])


def test_from_a_file_with_or_without_counters(tmp_path: Path, theirs: dict[str, torch.Tensor]) -> None:
    """Files from before batch norm counted its batches load too."""
    old = {name: value for name, value in theirs.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "mine.pth")
    main = stream()
    assert load_trunk(main, str(tmp_path / "mine.pth")) == tmp_path / "mine.pth"
    assert torch.equal(main.trunk.layer3[1].conv2.weight, theirs["layer3.1.conv2.weight"])


def test_none_leaves_them_random() -> None:
    main, untouched = stream(), stream()
    assert load_trunk(main, "none") is None
    assert torch.equal(main.trunk.conv1.weight, untouched.trunk.conv1.weight)


def test_offline_says_what_to_do(cache: Path) -> None:
    empty = cache / "empty"
    with pytest.raises(CheckpointError, match=r"put it at .*empty/resnet18-.*weights=none"):
        load_trunk(stream(), "imagenet", cache=empty)
    assert list(empty.iterdir()) == []


def test_fetched_where_there_is_a_network(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = next(cache.glob("*.pth"))
    monkeypatch.setitem(weights.IMAGENET, "resnet18", file.as_uri())
    read = load_trunk(stream(), "imagenet", cache=cache / "new")
    assert read == cache / "new" / file.name
    assert read.read_bytes() == file.read_bytes()


def test_a_damaged_file_in_the_cache_is_refused(cache: Path) -> None:
    file = next(cache.glob("*.pth"))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="Delete it and run again"):
        load_trunk(stream(), "imagenet", cache=cache)


def test_files_that_do_not_fit(tmp_path: Path, theirs: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "mine.pth"
    with pytest.raises(CheckpointError, match="cannot be read: No such file"):
        load_trunk(stream(), str(path))
    torch.save(theirs, path)
    with pytest.raises(CheckpointError, match=r"does not fit resnet50: \d+ of the trunk's \d+ weights match.*90%"):
        load_trunk(stream(trunk="resnet50"), str(path))
    torch.save({name: value for name, value in theirs.items() if "layer2" not in name}, path)
    with pytest.raises(CheckpointError, match=r"file has conv1\.weight.*not in the file: layer2\.0\.conv1\.weight"):
        load_trunk(stream(), str(path))
    torch.save({name: value for name, value in theirs.items() if name != "conv1.weight"}, path)
    with pytest.raises(CheckpointError, match=r"no conv1\.weight of the right shape, the layer that reads the image"):
        load_trunk(stream(), str(path))
    torch.save(theirs | {"layer1.0.conv1.weight": theirs["layer1.0.conv1.weight"] / 0}, path)
    with pytest.raises(CheckpointError, match=r"not finite \(layer1\.0\.conv1\.weight\)"):
        load_trunk(stream(), str(path))
    torch.save([1, 2], path)
    with pytest.raises(CheckpointError, match=r"not a state dict.*it holds a value of type list\. Save the network's"):
        load_trunk(stream(), str(path))
    torch.save({"epoch": 3, "results": {"mAP": 0.5}}, path)
    with pytest.raises(CheckpointError, match="it holds a dictionary of epoch, results"):
        load_trunk(stream(), str(path))


class Payload:
    """An object whose loading would end the test run."""

    def __reduce__(self) -> tuple:
        return exit, (1,)


def test_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "mine.pth").write_bytes(pickle.dumps(Payload(), protocol=2))
    with pytest.raises(CheckpointError, match=r"is a pickle that torch\.save did not write.*no code in it was run"):
        load_trunk(stream(), str(tmp_path / "mine.pth"))
    torch.save({"state_dict": Payload()}, tmp_path / "mine.pth")
    with pytest.raises(CheckpointError, match=r"holds an object of the class \S+, whose code was not run"):
        load_trunk(stream(), str(tmp_path / "mine.pth"))


def test_settings_that_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="ImageNet weights have width 1"):
        load_trunk(stream(width=0.5), "imagenet")
    with pytest.raises(ConfigError, match=r"needs pretrained weights, and train\.network\.weights is none"):
        load_trunk(stream(), "none", conv5_init="imagenet")
    with pytest.raises(ConfigError, match=r"needs a global head, and train\.network\.main\.heads is local\. Change"):
        load_trunk(stream(heads="local"), "imagenet", conv5_init="imagenet")


def test_conv5_is_of_a_resnet_alone() -> None:
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    network = stream(trunk="timm/convnext_atto")
    assert load_trunk(network, "none") is None
    with pytest.raises(ConfigError, match=r"one of the trunks resnet18.*trunk is timm/convnext_atto.*init=random$"):
        load_trunk(network, "imagenet", "imagenet")


@pytest.mark.parametrize("conv5_init", ["random", "imagenet"])
def test_from_a_model_of_ours(tmp_path: Path, conv5_init: str) -> None:
    """Its trunk, and by option its global head; its local heads are not taken."""
    torch.manual_seed(9)
    path = save(
        MainStream(MainStreamConfig(trunk="resnet18", width=0.25)), tmp_path / "model.pt", Preprocessing(64, 32)
    )
    theirs = torch.load(path, weights_only=True)["state"]
    main, untouched = stream(width=0.25), stream(width=0.25).state_dict()
    assert load_trunk(main, str(path), conv5_init) == path
    for name, value in main.state_dict().items():
        taken = name.startswith("trunk.") or (conv5_init == "imagenet" and name.startswith("global_head."))
        assert torch.equal(value, theirs[name] if taken else untouched[name]), name


def test_a_model_of_another_width_is_refused(tmp_path: Path) -> None:
    path = save(MainStream(MainStreamConfig(trunk="resnet18", width=0.5)), tmp_path / "model.pt", Preprocessing(64, 32))
    with pytest.raises(CheckpointError, match="does not fit resnet18"):
        load_trunk(stream(width=0.25), str(path))


def test_every_branch_of_mgn_has_the_rest_of_conv4_and_by_option_conv5(
    cache: Path, theirs: dict[str, torch.Tensor]
) -> None:
    main = stream(heads="global", head="mgn")
    load_trunk(main, "imagenet", conv5_init="imagenet", cache=cache)
    for name, value in main.trunk.state_dict().items():
        assert torch.equal(value, theirs[name])
    for branch in main.part_head.branches:
        for part, prefix in zip(branch, ("layer3.1.", "layer4."), strict=True):
            for name, value in part.state_dict().items():
                assert torch.equal(value, theirs[prefix + (name.removeprefix("0.") if "3" in prefix else name)])

    main, untouched = (stream(heads="global", head="mgn") for _ in range(2))
    load_trunk(main, "imagenet", cache=cache)
    for branch, before in zip(main.part_head.branches, untouched.part_head.branches, strict=True):
        assert torch.equal(branch[0][0].conv1.weight, theirs["layer3.1.conv1.weight"])
        assert torch.equal(branch[1][0].conv1.weight, before[1][0].conv1.weight)


def test_pcb_takes_conv5(cache: Path, theirs: dict[str, torch.Tensor]) -> None:
    main = stream(heads="global", head="pcb")
    load_trunk(main, "imagenet", conv5_init="imagenet", cache=cache)
    assert torch.equal(main.global_head[1].conv2.weight, theirs["layer4.1.conv2.weight"])


def test_a_plain_head_has_no_conv5(cache: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs a global head of conv5_x, and train\.network\.main\.head is plain"):
        load_trunk(stream(heads="global", head="plain"), "imagenet", conv5_init="imagenet", cache=cache)
