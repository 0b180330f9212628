"""Settings that a trunk refuses: the error ends in options that can be pasted, and with them the command works."""

import shlex

import pytest

MAIN = "train.network.main"
PARAMS = """
dataset: synthetic
experiment: demo
train: {height: 64, width: 32, network: {weights: none, classifier_width: 8, main: {trunk: resnet18, width: 0.25}}}
warp: {size: 16}
"""  # as the params.yaml of the demo


def options(message: str) -> list[str]:
    """Return the options that an error ends in."""
    return shlex.split(message[message.index(" --set ") :])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([f"{MAIN}.trunk=timm/mobilenetv2_100"], "timm/mobilenetv2_100 has width 1 alone"),
        ([f"{MAIN}.trunk=osnet_x0_25"], "another width of OSNet is another trunk"),
        ([f"{MAIN}.trunk=timm/vit_tiny_patch16_224", f"{MAIN}.width=1", f"{MAIN}.local_levels=[16,8]"], "none at 8"),
        ([f"{MAIN}.trunk=timm/vit_small_patch14_dinov2", f"{MAIN}.width=1"], "64x32 are not divisible by it"),
        ([f"{MAIN}.sie=3", f"{MAIN}.patch_stride=12"], "the trunk is resnet18; 0 switches them off"),
        (["train.network.drop_path=0.1"], "is for timm trunks, the trunk is resnet18"),
    ],
)
def test_the_options_of_the_error_make_the_command_work(run, tmp_path, monkeypatch, settings, words) -> None:
    pytest.importorskip("timm", reason="the extra `timm` is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(PARAMS)
    given = [part for setting in settings for part in ("--set", setting)]
    refused = run("summary", *given)
    assert refused.exit_code == 2
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
    assert words in line
    accepted = run("summary", *given, *options(line))
    assert accepted.exit_code == 0, accepted.output
    assert "Only the part 'main' is deployed" in accepted.stdout
