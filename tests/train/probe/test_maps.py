"""Feature maps: those of the trunk, kept in files, computed again where a file is missing or cut short."""

from pathlib import Path

import numpy as np
import pytest
import torch

from dsa_app.errors import TrainingError
from dsa_reid import MainStream, MainStreamConfig, Preprocessing
from dsa_train.batches.dataset import Images
from dsa_train.probe import maps
from dsa_train.probe.maps import Levels, keep_maps


@pytest.fixture
def trunk() -> torch.nn.Module:
    torch.manual_seed(0)
    return MainStream(MainStreamConfig("resnet18", width=0.125)).eval().trunk


@pytest.fixture
def images(tiny) -> Images:
    return Images(tiny.root, tiny.records(), Preprocessing(64, 32))


def keep(trunk, images, folder: Path, channels: int = 128, training: tuple[int, ...] = (0, 1, 2)):
    return keep_maps(Levels(trunk), images, training, channels, 4, folder, 1)


def test_maps_of_a_resnet(trunk) -> None:
    x = torch.randn(2, 3, 64, 32)
    found = Levels(trunk)(x)
    assert {stride: tuple(one.shape) for stride, one in found.items()} == {16: (2, 32, 4, 2), 8: (2, 16, 8, 4)}
    assert torch.equal(found[16], trunk(x))


@pytest.mark.parametrize(("name", "strides"), [("resnet10t", [16, 8]), ("test_vit", [16])])
def test_maps_of_timm(name: str, strides: list[int]) -> None:
    pytest.importorskip("timm")
    torch.manual_seed(0)
    stream = MainStream(MainStreamConfig(f"timm/{name}", size=(64, 32))).eval()
    x = torch.randn(2, 3, 64, 32)
    levels = Levels(stream.trunk)
    found = levels(x)
    assert list(found) == levels.strides == strides
    assert torch.equal(found[16], stream.trunk(x))
    assert all(one.shape[2:] == (64 // stride, 32 // stride) for stride, one in found.items())


def test_they_are_those_of_the_trunk(trunk, images: Images, tmp_path: Path) -> None:
    kept = keep(trunk, images, tmp_path)
    (chunk,) = kept.chunks()
    assert len(chunk) == len(images)
    expected = Levels(trunk)(images.preprocessing.normalise(images.read(range(len(images))).images))
    for stride, one in chunk.maps.items():
        assert torch.equal(one, expected[stride].half().float())
        assert kept.shape(stride) == (one.shape[1], tuple(one.shape[2:]))


def test_files_that_are_there_are_not_made_again(trunk, images: Images, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(maps, "CHUNK", 10)
    kept = keep(trunk, images, tmp_path)
    files = sorted(kept.folder.iterdir())
    assert len(files) == 2 * -(-len(images) // 10)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    gone, cut = files[0], files[-1]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-100])
    again = keep(trunk, images, tmp_path)
    assert {path: path.read_bytes() for path in files} == {path: content for path, (_, content) in before.items()}
    same = [path for path in files if path.stat().st_mtime_ns == before[path][0]]
    assert len(same) == len(files) - 4, "the missing and the short file, and the other stride of their images"
    assert again == kept


def test_another_trunk_has_a_folder_of_its_own(trunk, images: Images, tmp_path: Path) -> None:
    one = keep(trunk, images, tmp_path)
    with torch.no_grad():
        trunk.layer1[0].conv1.weight.mul_(1.01)
    assert keep(trunk, images, tmp_path).folder != one.folder


def test_many_channels_are_projected(trunk, images: Images, tmp_path: Path) -> None:
    whole, fewer = keep(trunk, images, tmp_path), keep(trunk, images, tmp_path, channels=16)
    assert fewer.shape(16)[0] == fewer.shape(8)[0] == 16
    (all_of,), (some,) = whole.chunks(), fewer.chunks()
    assert torch.equal(some.maps[8], all_of.maps[8]), "16 channels at stride 8 already"
    energy = (some.maps[16] ** 2).sum() / (all_of.maps[16] ** 2).sum()
    assert 0.9 < energy <= 1.001, "the components with the most energy"


def test_damaged_weights_are_named(trunk, images: Images, tmp_path: Path) -> None:
    with torch.no_grad():
        trunk.layer3[0].conv1.weight[0] = np.nan
    with pytest.raises(TrainingError, match="not numbers"):
        keep(trunk, images, tmp_path)
