"""The report's page: whole in one file, escaped, with texts for all images, the same bytes each time."""

import base64
import html.parser
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import dsa_reid
from dsa_app.errors import TrainingError
from dsa_data.images import decode, read
from dsa_data.records import read_manifest
from dsa_reid.body import REGION_NAMES
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.explain.heat_maps import with_heat_map
from dsa_train.pages import figure, stage, training_figures
from dsa_train.pages.findings import read_log
from dsa_train.pages.pictures import coverage_figures, hex_shade
from dsa_train.pages.query_heat_maps import run_heat_maps
from hostile_names import HOSTILE

VOID = {"meta", "img", "input", "br"}


class Tags(html.parser.HTMLParser):
    """All tags with their attributes; checks that they are nested."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def of(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def tags(page):
    return Tags(page.read_text())


def test_the_page_makes_no_request(page, tags):
    assert all(one["src"].startswith("data:image/") for one in tags.of("img"))
    assert not tags.of("link")
    assert all("src" not in one for one in tags.of("script"))
    assert all(one["href"].startswith("#") for one in tags.of("a"))
    policy = next(one["content"] for one in tags.of("meta") if one.get("http-equiv"))
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "url(" not in page.read_text().split("</style>")[0]


def test_names_with_markup_are_text(tags, two_runs):
    assert not [one for one in tags.of("img") if "onerror" in one]
    assert not tags.of("b"), "of the second run's name"
    queries = tags.of("article")
    assert all(one["data-key"].startswith(f"query/{HOSTILE}") for one in queries)
    assert len(queries) == 4


def test_every_image_and_every_control_has_a_text(tags):
    assert all(one.get("alt") for one in tags.of("img"))
    assert all(one.get("aria-label") for one in tags.of("div") if one.get("role") == "region")
    assert all(one.get("tabindex") == "0" for one in tags.of("div") if one.get("role") == "region")
    assert tags.of("html") == [{"lang": "en"}]


def test_anchors_lead_somewhere_and_ids_are_unique(tags):
    ids = [attributes["id"] for _, attributes in tags.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {one["href"].removeprefix("#") for one in tags.of("a")} <= set(ids)


def test_right_wrong_and_own_camera_differ_by_sign_and_word(page):
    text = page.read_text()
    for kind, sign, word in (("right", "✓", "right"), ("wrong", "✗", "wrong"), ("own", "–", "own camera, not counted")):
        items = re.findall(rf'<li class="{kind}">.*?</li>', text)
        assert items
        assert all(sign in item and word in item for item in items)


def test_measures_stand_beside_chance_and_ceiling(page):
    rows = re.findall(r'<th scope="row">([\w -]+)<span class="meaning">(.+?)</span></th>(.+?)</tr>', page.read_text())
    found = {title: re.findall(r">([\d.]*)</td>", cells) for title, _, cells in rows}
    assert list(found) == ["Rank-1", "Rank-5", "Rank-10", "mAP", "mINP", "AUC", "Equal error rate"]
    assert all(len(cells) == 4 for cells in found.values())  # two runs, chance, ceiling
    assert found["AUC"][2:] == ["50.0", "100.0"]
    assert found["Equal error rate"][2:] == ["50.0", "0.0"]
    assert all(sentence.endswith(".") for _, sentence, _ in rows)


def test_regions_and_part_images_are_shown(page, tags):
    assert page.read_text().count('<th scope="row">upper legs</th>') == 8  # of four queries by two runs
    assert [one for one in tags.of("img") if one["alt"].startswith("Part images of the query")]


def test_the_same_bytes_each_time(page, two_runs, task, hostile, tmp_path):
    again = stage.write_report(
        [task(run) for run in two_runs], EvaluateConfig(), hostile / "iuv.h5", tmp_path / "report.html", 2, 5
    )
    assert again.page.read_bytes() == page.read_bytes()
    folder = page.with_suffix("")
    assert [path.name for path in again.figures] == [
        path.name for path in again.figures if (folder / path.name).is_file()
    ]
    assert all(path.read_bytes() == (folder / path.name).read_bytes() for path in again.figures)


def test_without_matplotlib_maps_and_parts_the_numbers_are_there(two_runs, task, hostile, tmp_path, monkeypatch):
    monkeypatch.setattr(figure, "is_drawable", lambda: False)
    out = tmp_path / "report.html"
    lean = task(two_runs[0])
    lean = type(lean)(lean.manifest, lean.root, tmp_path / "none.h5", lean.source, None, None, lean.dataset)
    written = stage.write_report([lean], EvaluateConfig(), tmp_path / "none too.h5", out, 1, 3)
    text = out.read_text()
    assert written.figures == []
    assert "Not drawn: matplotlib (extra figure) is not installed." in text
    assert "none.h5 does not exist: nothing of it is shown." in text
    assert "rank 10</th>" in text
    assert "Part images" not in text
    assert "by epoch were not measured" not in text


def test_accuracy_by_epoch_is_shown_where_it_was_measured(page, two_runs):
    text = page.read_text()
    assert "first Rank-1 from 25.0% to 50.0%. first mAP from 12.5% to 75.0%." in text
    runs = [SimpleNamespace(name="first", log={"train/loss": [(1.0, 5.0)], "lr": [(1.0, 0.1)]})]
    assert training_figures.losses(runs).title == "Losses and learning rate by epoch"


def test_heat_maps_of_the_worst_and_the_best_queries(tags, page):
    """Two runs, four queries, nine features each; all texts and images differ."""
    maps = [one for one in tags.of("img") if one["alt"].startswith("Heat map of the feature ")]
    assert len(maps) == 2 * 4 * 9
    assert len({one["src"] for one in maps}) > len(maps) / 2
    assert [one["alt"].split(" for ")[0].removeprefix("Heat map of the feature ") for one in maps[:9]] == [
        "global",
        *REGION_NAMES,
    ]
    assert "No heat maps" not in page.read_text()


def test_a_run_without_a_model_has_no_heat_maps(tmp_path):
    assert run_heat_maps(tmp_path, tmp_path, ["a.png"]).reason == f"{tmp_path / 'model.pt'} does not exist"


def test_a_heat_map_is_that_of_the_explanation(two_runs, hostile, task):
    """The image is the query under its shares, computed here from the model by their definition."""
    key = next(record.key for record in read_manifest(hostile / "manifest.csv") if record.split == "query")
    (shown,) = run_heat_maps(two_runs[0], hostile, [key]).queries
    model = dsa_reid.load(two_runs[0] / "model.pt")
    image = read(hostile / key)
    seen = model.preprocessing.normalise(model.preprocessing.resize(torch.from_numpy(image))[None])
    maps = model.main_stream.global_head(model.main_stream.trunk(seen))  # (1, C, h, w)
    f = maps.mean((2, 3))
    shares = (maps * f[..., None, None]).sum(1)[0] / (f.square().sum() * maps[0, 0].numel())
    expected = with_heat_map(image, shares.detach().numpy())
    found = decode(base64.b64decode(dict(shown.features)["global"].split(",")[1]), "heat map")
    assert np.abs(found.astype(int) - expected).mean() < 6  # of JPEG


def test_people_are_spread_over_the_dataset(tags):
    shown = [one["alt"] for one in tags.of("img") if re.match(r"Person \d+, camera \d+: ", one["alt"])]
    assert [int(one.split(",")[0].split()[1]) for one in shown] == sorted([1, 2, 3, 4] * 4 + [7, 8] * 2)
    assert {one.split(",")[1].split(":")[0] for one in shown} == {" camera 1", " camera 2", " camera 3"}


def test_the_body_of_shares_has_every_chart_in_its_shade():
    """A chart's corner has its shade; 24 charts of different shares give 24 shades over front and back."""
    shares = np.linspace(0, 1, 24)
    front, back = coverage_figures(shares)
    colours = {tuple(pixel) for figure in (front, back) for pixel in figure.reshape(-1, 3).tolist()}
    for share in shares:
        assert tuple(int(hex_shade(share)[n : n + 2], 16) for n in (1, 3, 5)) in colours
    assert front.shape[1] == back.shape[1] == 760, "twice as wide as on a phone, for text of 26 pixels"


def test_terms_of_one_kind_are_averaged(two_runs):
    log = read_log(two_runs[0])
    assert training_figures.terms(log) == {"loss": [(1, 5), (2, 4)], "id_f_local": [(1, 2), (2, 1)]}


def test_a_damaged_log_is_named(two_runs, tmp_path):
    path = tmp_path / "live" / "plots" / "metrics" / "lr.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("step\tlr\n1\tmany\n")
    with pytest.raises(TrainingError, match=r"lr\.tsv is not a log of DVCLive.*Remove the folder live"):
        read_log(tmp_path)


def test_names_are_as_long_as_is_needed(tmp_path):
    one, two = tmp_path / "a" / "demo", tmp_path / "b" / "demo" / "model.pt"
    assert stage.names([one, tmp_path / "c"]) == ["demo", "c"]
    assert stage.names([one, two]) == ["a/demo", "b/demo"]
    assert stage.names([one / "0"]) == ["demo/0"]
    with pytest.raises(TrainingError, match="is named twice"):
        stage.names([two, two.parent])


def test_the_command_measures_runs_and_names_the_page_last(run, two_runs, hostile, tmp_path, monkeypatch):
    monkeypatch.setenv("DSA_DATASETS", str(hostile.parent))
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "artifacts" / "market1501").mkdir(parents=True)
    common = ["--dataset", "market1501", "--manifest", hostile / "manifest.csv", "--count", 1, "--top", 2]
    out = tmp_path / "a <b>.html"
    done = run("report", two_runs[0], *common, "--out", out)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[-1] == str(out)
    assert lines[2].split()[0] == "market1501"
    measures = json.loads(run("report", two_runs[0], *common, "--out", out, "--json").stdout)
    assert measures["page"] == str(out)
    assert measures["runs"]["first"]["queries"] == 4


def test_options_that_do_not_go_together_are_refused(run, tmp_path, monkeypatch):
    monkeypatch.setenv("DSA_ARTIFACTS", str(tmp_path))
    (tmp_path / "market1501").mkdir()
    for options, words in (
        (["--mean", "x.json", "--html"], "--mean prints a mean"),
        (["--out", "x.html"], "are of the page"),
    ):
        refused = run("report", "--dataset", "market1501", *options)
        assert refused.exit_code == 2
        assert words in refused.stderr
