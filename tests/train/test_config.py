"""The settings: importable, and refused, without importing torch."""

import subprocess
import sys

import pytest

from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_reid.config import RESNETS
from dsa_reid.main_stream import DEPTHS
from dsa_train.config import TrainConfig, sized

REFUSED = """
import sys
from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_train.config import TrainConfig

for values in ({"epoch": 2}, {"network": {"main": {"width": 0.3}}}):
    try:
        build(TrainConfig, values, "test")
    except ConfigError:
        continue
    raise AssertionError(f"{values} was accepted")
sys.exit(any(name in sys.modules for name in ("torch", "cv2", "h5py")))
"""


def test_settings_are_refused_without_importing_torch() -> None:
    found = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_the_public_name_of_the_main_streams_settings_imports_no_torch() -> None:
    program = "import sys, dsa_reid; dsa_reid.MainStreamConfig; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_every_resnet_that_is_accepted_is_built() -> None:
    assert set(RESNETS) == set(DEPTHS)


@pytest.mark.parametrize("fixed", [{"trunk": "timm/convnext_atto"}, {"local_pooling": "template"}])
def test_a_trunk_or_template_of_one_size_has_that_of_the_images(fixed: dict[str, str]) -> None:
    def size(height: int, **main: object) -> tuple[int, int]:
        values = {"height": height, "network": {"main": {**fixed, **main}}}
        return sized(build(TrainConfig, values, "test")).network.main.size

    assert size(256) == (256, 128)
    assert size(64) == size(64, size=[64, 128]) == (64, 128)
    with pytest.raises(ConfigError, match=r"built for images of 96x128, the run's are 64x128\. Leave .*size out"):
        size(64, size=[96, 128])


def test_other_networks_keep_their_size() -> None:
    config = build(TrainConfig, {"height": 64}, "test")
    assert sized(config) == config
