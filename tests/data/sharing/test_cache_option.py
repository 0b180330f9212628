"""The option that puts the costly outputs into DVC's cache: in the project's dvc.yaml, there and back."""

import shutil
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from dsa_app.errors import ConfigError
from dsa_data.cli import main
from dsa_data.sharing.cache_option import FILES, set_cached
from repository import ROOT


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(ROOT / "dvc.yaml", tmp_path))


def cached(pipeline: Path) -> dict[str, bool]:
    """Return whether DVC caches each output of the pipeline, by name."""
    found = {}
    for stage in yaml.safe_load(pipeline.read_text())["stages"].values():
        for out in stage.get("outs", []):
            ((path, options),) = out.items()
            found[path.rpartition("/")[2]] = options.get("cache", True)
    return found


def test_there_and_back(pipeline: Path) -> None:
    before = pipeline.read_bytes()
    assert cached(pipeline) == dict.fromkeys(FILES, False) | {"model.pt": True, "settings.json": True}
    assert set_cached(True)
    assert set(cached(pipeline).values()) == {True}
    assert not set_cached(True)
    assert set_cached(False)
    assert pipeline.read_bytes() == before


def test_the_command(pipeline: Path) -> None:
    assert CliRunner().invoke(main, ["cache-maps"]).stdout.count("\n") == 1
    Path("dvc.lock").write_text("")
    done = CliRunner().invoke(main, ["cache-maps"])
    assert done.stdout.endswith("Put those that are made into it now: dvc commit prepare extract warp\n")
    done = CliRunner().invoke(main, ["cache-maps", "--off"])
    assert done.stdout == "dvc.yaml: manifest, maps and part images stay out of DVC's cache\n"


def test_a_pipeline_of_another_form_is_refused(pipeline: Path) -> None:
    text = pipeline.read_text().replace("iuv.h5: {persist: true, cache: false}", "iuv.h5: {persist: true}")
    pipeline.write_text(text)
    with pytest.raises(ConfigError, match=r"no line '- artifacts/\$\{dataset\}/iuv\.h5: "):
        set_cached(True)
    assert pipeline.read_text() == text
    pipeline.unlink()
    with pytest.raises(ConfigError, match=r"dvc\.yaml does not exist\. Change to the project's folder"):
        set_cached(True)
