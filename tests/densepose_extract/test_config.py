"""Settings of stage one: one flat section, with the network's recipe in it."""

import pytest

from densepose_extract.config import ExtractConfig
from densepose_extract.recipe import Recipe
from dsa_app.config import build, to_dict
from dsa_app.errors import ConfigError


def test_recipe_is_the_part_for_networks() -> None:
    config = build(ExtractConfig, {"min_size": 320, "batch": 4, "missing": "none", "engine": "native"}, "test")
    assert config.recipe == Recipe(min_size=320, batch=4, missing="none")
    assert type(config.recipe) is Recipe
    assert set(to_dict(config.recipe)) < set(to_dict(config))


def test_defaults_are_made_for_crops() -> None:
    config = ExtractConfig()
    assert (config.min_size, config.max_size, config.proposals, config.detections) == (256, 1333, 100, 5)
    assert (config.engine, config.checkpoint, config.precision) == ("auto", "R_50_FPN_s1x", "fp32")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"engin": "native"}, "Did you mean 'engine'"),
        ({"engine": "openpose"}, "engine = 'openpose' is invalid"),
        ({"min_size": 0}, "min_size = 0 is invalid"),
        ({"precision": "fp8"}, "precision = 'fp8'"),
    ],
)
def test_invalid_settings_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(ExtractConfig, values, "test")
