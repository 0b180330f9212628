"""The settings: importable, and refused, without importing torch."""

import subprocess
import sys

import pytest

from dsa_app.config import build
from dsa_app.errors import ConfigError
from dsa_reid.config import RESNETS
from dsa_reid.main_stream import DEPTHS
from dsa_train.config import TrainConfig, check_trunk_size

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


def test_a_timm_trunk_is_for_one_size() -> None:
    def check(**changes: object) -> None:
        main = {"trunk": "timm/convnext_atto", "size": [256, 128]}
        check_trunk_size(build(TrainConfig, {"network": {"main": main}, **changes}, "test"))

    check()
    with pytest.raises(ConfigError, match=r"built for images of 256x128, the run's are 64x128.*size=\[64,128\]"):
        check(height=64)
    check_trunk_size(build(TrainConfig, {"height": 64}, "test"))
