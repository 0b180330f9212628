"""The report's page: whole in one file, escaped, with texts for all images, the same bytes each time."""

import html.parser
import json
import re

import pytest

from dsa_app.errors import TrainingError
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.pages import figures, stage
from dsa_train.pages.findings import read_log
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
    monkeypatch.setattr(figures, "is_drawable", lambda: False)
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


def test_terms_of_one_kind_are_averaged(two_runs):
    log = read_log(two_runs[0])
    assert figures.terms(log) == {"loss": [(1, 5), (2, 4)], "id_f_local": [(1, 2), (2, 1)]}


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
