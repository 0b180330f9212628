"""The documentation site: its navigation, its generated pages, and a strict build that needs no network."""

import ast
import html.parser
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag

import click
import pytest
import yaml

import commands_page
import errors_page
import navigation
import outside
import settings_page
from dsa_app.config import SECTIONS
from modules import MODULES
from repository import ROOT

SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
DOCS = ROOT / "docs"
GENERATED = {
    "tutorials/first-steps.md",
    "reference/settings.md",
    "reference/errors.md",
    "reference/dsa_reid.md",
    "reference/evaluation.md",
}
GENERATED |= {f"reference/{group}.md" for group in commands_page.GROUPS}
SETTINGS = [one for section in SECTIONS for one in settings_page.settings(section)]
COMMANDS = [pair for group in commands_page.GROUPS for pair in commands_page.commands(group)]


def test_the_navigation_names_pages_that_there_are() -> None:
    named = list(navigation.listed(SITE["nav"]))
    own = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}
    documents = {site for source, site in outside.PAGES.items() if source != "README.md"}
    assert len(named) == len(set(named))
    assert set(named) <= own | documents | GENERATED
    assert documents | GENERATED <= set(named)
    assert set(navigation.listed(navigation.completed(SITE["nav"], own))) == own | documents | GENERATED
    assert all((ROOT / source).is_file() for source in outside.PAGES)


def test_a_page_that_is_not_listed_is_in_the_section_of_its_folder() -> None:
    nav = [{"Home": "index.md"}, {"Reference": ["a.md"]}, {"Design": [{"D": ["design/b.md"]}]}]
    assert navigation.completed(nav, ["index.md", "z.md", "design/b.md", "design/c.md", "a.md"]) == [
        {"Home": "index.md"},
        {"Reference": ["a.md", "z.md"]},
        {"Design": [{"D": ["design/b.md"]}, "design/c.md"]},
    ]


def test_nothing_is_loaded_from_other_sites() -> None:
    """The search works from files by a script of ours; the theme would take fonts and that script from elsewhere."""
    assert SITE["theme"]["font"] is False
    assert {"search", "offline"} <= {name for name in SITE["plugins"] if isinstance(name, str)}
    (script,) = SITE["extra"]["polyfills"]
    assert "iframe-worker" in script
    assert "MIT" in (DOCS / script).read_text(encoding="utf-8").splitlines()[0]
    assert (DOCS / script).with_suffix(".LICENSE").is_file()


# Settings


def test_every_section_has_its_settings() -> None:
    assert set(settings_page.CLASSES) == set(settings_page.USED_BY) == set(SECTIONS)
    names = [one.name for one in SETTINGS]
    assert len(names) == len(set(names)) > 200
    by_name = {one.name: one for one in SETTINGS}
    assert by_name["train.epochs"].default == "320"
    assert by_name["train.losses.smoothing"].allowed == "number ≥ 0 and < 1"
    assert by_name["evaluate.distance"].allowed == "`euclidean`, `cosine`, `visible`"
    assert by_name["train.network.main.local_levels"].default == "[16]"
    assert by_name["train.memory"].allowed == "number > 0 or `null`"
    assert by_name["train.height"].source.lower() == "section 4.2 of the paper"
    assert by_name["evaluate.rerank.k1"].meaning.startswith("Neighbours among which")
    assert by_name["extract.errors.missed"].source == "D-062"


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: one.name)
def test_a_setting_is_described(setting: settings_page.Setting) -> None:
    assert len(setting.meaning) > 5, f"{setting.owner.__name__}: add {setting.name} to the docstring's Attributes"
    assert setting.allowed
    assert setting.source


def test_the_page_of_settings_has_each() -> None:
    text = settings_page.page()
    assert all(f"| `{one.name}` |" in text for one in SETTINGS)
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}


# Commands


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_a_command_and_its_options_have_help(name: str, command: click.Command) -> None:
    assert command.help, name
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]}"


@pytest.mark.parametrize("group", commands_page.GROUPS)
def test_the_page_of_a_group_has_each_command(group: str) -> None:
    text = commands_page.page(group)
    for name, command in commands_page.commands(group):
        assert f"## {name}\n" in text
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert f"`{parameter.opts[0]}`" in text
    without_code = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    assert "<" not in without_code, "a name in angle brackets would be a tag"


def test_help_becomes_markdown() -> None:
    assert commands_page._prose("See --out FILE, <name> and [x].\n\n\b\ncode --out") == (
        "See `--out` FILE, &lt;name> and \\[x].\n\n```text\ncode --out\n```"
    )


# Errors


def test_every_class_of_errors_is_listed() -> None:
    """Of those that a user may see: subclasses of DsaError and ModelError."""
    known = errors_page.classes()
    bases = {"DsaError", "ModelError"}
    while True:
        found = {
            node.name
            for path in MODULES.values()
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.ClassDef) and {getattr(base, "id", "") for base in node.bases} & bases
        }
        if found <= bases:
            break
        bases |= found
    assert set(known) == bases
    assert all(owner.__doc__ for owner in known.values())


def test_messages_are_read_from_the_code() -> None:
    found = errors_page.messages()
    texts = {message.text for message in found if message.module == "dsa_app.console"}
    assert "--jobs must not be 0. Use the number of workers, or -1 for one per core." in texts
    assert len(found) > 400
    assert "‹path› is not valid YAML. Write settings as 'key: value'." in {message.text for message in found}
    remedies = [errors_page.split(message.text)[1] for message in found]
    assert sum(map(bool, remedies)) > 0.8 * len(remedies)  # the rest get theirs from settings or an inner error
    assert errors_page.split("a ‹b› is missing. Do c. Or d.") == ("a ‹b› is missing.", "Do c. Or d.")
    assert errors_page.split("top = 0 is invalid: expected 1 or more.") == (
        "top = 0 is invalid.",
        "Expected 1 or more.",
    )
    assert errors_page.split("It failed") == ("It failed", "")


def test_the_page_of_errors_has_each_message() -> None:
    text = errors_page.page()
    assert all(f"\n## {name}\n" in text for name in errors_page.classes())
    assert text.count("\n| ") - text.count("\n| message |") == len(errors_page.messages())


# Links


def test_links_out_of_the_documents() -> None:
    """To pages of the site where there is one, else to a page or a copy that is made of the file."""
    links = outside.Outside({"project/changelog.md": "CHANGELOG.md"})
    there = {
        "../README.md": "index.md",
        "../CONTRIBUTING.md#code": "project/contributing.md#code",
        "formats.md": "formats.md",
        "../examples/tracker.py": "files/examples/tracker.py.md",
        "../benchmarks/results/tables_synthetic.png": "files/benchmarks/results/tables_synthetic.png",
        "https://example.org/y": "https://example.org/y",
        "#here": "#here",
        "../nowhere.py": "../nowhere.py",
    }
    code = "\n```\n[a](../README.md)\n```\n"
    text = " ".join(f"[a]({target})" for target in there) + code
    assert links.rewritten(text, "page.md") == " ".join(f"[a]({target})" for target in there.values()) + code
    assert links.rewritten("[a](docs/formats.md)", "project/changelog.md") == "[a](../formats.md)"
    assert "class Appearance" in links.pages["files/examples/tracker.py.md"]
    assert list(links.copies) == ["files/benchmarks/results/tables_synthetic.png"]


# The build


class Page(html.parser.HTMLParser):
    """What a page links to and loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        values = dict(attrs)
        if values.get("id"):
            self.anchors.add(str(values["id"]))
        if tag == "a" and values.get("href"):
            self.links.append(str(values["href"]))
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(str(values["href"]))
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.loaded.append(str(values["src"]))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("material") is None, reason="the extra docs is not installed")
@pytest.mark.timeout(600)
def test_the_site_builds_strictly_and_stands_alone(tmp_path: Path) -> None:
    """Every link and picture is in the site; nothing is loaded from elsewhere; the search has the words."""
    environment = os.environ | {
        "NO_MKDOCS_2_WARNING": "1",
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
    }
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = {path: Page(path.read_text(encoding="utf-8")) for path in tmp_path.rglob("*.html")}
    assert len(read) > 60
    for path, page in read.items():
        for target in page.loaded:
            assert not re.match(r"[a-z]+:|//", target) or target.startswith("data:"), f"{path.name} loads {target}"
        for target in [*page.loaded, *page.links]:
            if not re.match(r"[a-z]+:|//", target) and path.name != "404.html":
                address, anchor = urldefrag(unquote(target.partition("?")[0]))
                there = (path.parent / address).resolve() if address else path
                assert there.is_file(), f"{path.relative_to(tmp_path)} leads to {target}"
                if anchor and there in read and anchor != "__skip":
                    assert anchor in read[there].anchors, f"{path.relative_to(tmp_path)} leads to {target}"
    index = json.loads((tmp_path / "search" / "search_index.json").read_text(encoding="utf-8"))
    texts = " ".join(entry["text"] for entry in index["docs"])
    assert "train.losses.smoothing" in texts
    assert "Use the number of workers" in texts
    assert not [entry for entry in index["docs"] if entry["location"].startswith("files/")]
    assert (tmp_path / "search" / "search_index.js").is_file()
