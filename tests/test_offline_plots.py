"""DVC's page of plots with Vega in it: examples/offline_plots.py."""

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from dvc_render.html import render_html
from dvc_render.vega import VegaRenderer

from browser import opened
from repository import ROOT

PROGRAM = ROOT / "examples" / "offline_plots.py"
STAND_IN = """
const spec = 1;
window.vegaEmbed = (place, of) => document.querySelector(place).append(JSON.stringify(of.title));
"""
ROWS = [{"step": 1, "loss": 2.0, "rev": "workspace"}, {"step": 2, "loss": 1.0, "rev": "workspace"}]


def rendered(vega: str, folder: Path) -> Path:
    """Return a page that DVC makes of the template with this script."""
    template = folder / "plots.html"
    template.write_text(runpy.run_path(str(PROGRAM))["page"](vega), encoding="utf-8")
    plot = VegaRenderer(ROWS, "loss", x="step", y="loss", title="loss by epoch", template="simple")
    out = folder / "index.html"
    render_html([plot], str(out), template)
    return out


def test_the_page_asks_for_nothing_of_the_network(tmp_path: Path) -> None:
    text = rendered(STAND_IN, tmp_path).read_text(encoding="utf-8")
    assert "cdn.jsdelivr.net/npm/vega" not in text, "the scripts that DVC's own page loads"
    assert "vegaEmbed('#" in text
    assert "{plot_divs}" not in text
    assert "{refresh_tag}" not in text


def test_a_browser_runs_the_script_of_the_template(tmp_path: Path) -> None:
    """The script's variables and those of DVC's plots, both named spec, do not disturb each other."""
    with opened() as browser:
        browser.on("request", lambda one: None if one.url.startswith("file:") else browser.faults.append(one.url))
        browser.goto(rendered(STAND_IN, tmp_path).as_uri())
        assert "loss by epoch" in browser.locator("body > div").inner_text()
        assert browser.faults == []


def test_a_browser_draws_the_plot(tmp_path: Path) -> None:
    vega = pytest.importorskip("vl_convert", reason="vl-convert-python is not installed").javascript_bundle()
    requests: list[str] = []
    with opened() as browser:
        browser.on("request", lambda one: requests.append(one.url))
        browser.goto(rendered(vega, tmp_path).as_uri())
        browser.wait_for_selector("canvas, svg")
    assert requests == [(tmp_path / "index.html").as_uri()]


@pytest.mark.parametrize(("folder", "message"), [("", ".dvc does not exist"), (".dvc", "vl-convert-python is not")])
def test_errors_are_one_line(tmp_path: Path, folder: str, message: str) -> None:
    if folder and importlib.util.find_spec("vl_convert"):
        pytest.skip("vl-convert-python is installed")
    (tmp_path / folder).mkdir(exist_ok=True)
    done = subprocess.run([sys.executable, PROGRAM], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
