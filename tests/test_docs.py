"""The documents: cited paths exist, decisions are complete, words are plain, the picture shows the tree."""

import functools
import importlib.util
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from repository import ROOT

PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "CODE_OF_CONDUCT.md", ".github", "docs"]
TEXTS = [*PAGES, "params.yaml", "dvc.yaml", "studies", "experiments"]
CODE = [*PACKAGES, "tests", "benchmarks", "examples"]
DECISIONS = ROOT / "docs" / "design" / "decisions"

PLAIN = [*TEXTS, *CODE]  # roots whose words are checked


class Word(NamedTuple):
    """A wording that readers of the field do not search for."""

    pattern: str
    instead: str
    example: str  # that the pattern finds


WORDS = [
    Word(r"\bg(o|oes|one|oing) on with\b", "resume, resumed", "a run that was gone on with"),
    Word(r"\bg(o|oes|oing) on where\b", "resume, resumed", "it goes on where it was"),
    Word(r"\bfirst weights\b", "pretrained weights, initial weights", "The first weights of the trunk"),
    Word(r"\blessons?\b|\bteaching guide\b", "distillation, distillation losses", "without lessons"),
    Word(r"(?<!/)\btaught\b", "trained with distillation", "a taught main stream"),
    Word(r"\bwhoever\b", "name the person or program", "whoever measures"),
    Word(r'(?<!")\bdoes not hold\b(?!")', "is invalid", "size = 3 does not hold: too small"),
    Word(r"\bnobody would work\b", "must not be 0", "--jobs 0: nobody would work"),
    Word(r"\b(no|some)body (is|was|were) found\b", "no person detected, a person was detected", "nobody was found"),
    Word(r"\bwhat is left\b", "deployment, the main stream", "what is left after training"),
    Word(r"\bwhat it is worth\b", "results", "What it is worth"),
    Word(r"\bstands? on the paper", "uses the paper's hyper-parameters", "a command stands on the paper's values"),
    Word(r"\b(is|are|was) told\b", "is reported, prints, says", "and is told so"),
    Word(r"\bmend(s|ed|ing)?\b", "fix, repair", "Mend warp.size."),
    Word(r"\bdrawn (people|pictures|dataset)", "rendered, synthetic", "measured on drawn people"),
    Word(r"\bat hand\b", "say what was or was not measured", "no GPU was at hand"),
    Word(
        r"\d\S*( with \w+)? (was|were) (asked|wanted)\b", "state the target and its reason", "1.3× with data was asked"
    ),
    Word(r"\b(is|are) worth\b(?! [a-z]+ing\b)|\bworth pooling\b", "whether X improves Y", "what maps are worth"),
    Word(r"\bguide teaches\b|\bsomething teaches\b", "distillation, a loss trains it", "Guide teaches"),
    Word(r"\btold apart\b", "distinguished", "legs and arms cannot be told apart"),
    Word(r"\bnobody to tell\b|\bsomebody's\b", "name the person or program", "there is nobody to tell it from"),
    Word(r"\btell the people apart\b", "separate identities", "features do not tell the people apart"),
    Word(r"\bsample is drawn\b", "a random sample is shown", "a sample is drawn instead"),
    Word(r"\bsessions? that\b|\blent to\b", "leave out how the project was made", "no GPU was lent to it"),
]


def files(roots: list[str], *endings: str) -> list[Path]:
    """List the files of some endings at or below paths of the repository, without this one, which has the words."""
    found = []
    for name in roots:
        root = ROOT / name
        assert root.exists(), f"{name} is no path of the repository"
        found += [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    return [path for path in found if path.suffix in endings and path != Path(__file__)]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield each line of a file that is written for people, with its number: no code, no output, no names."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _strings(text)
        return
    fenced = False
    for number, line in enumerate(text.splitlines(), 1):
        if path.suffix == ".yaml":
            yield number, line.partition("#")[2]
        elif line.startswith("```"):
            fenced = not fenced
        elif not fenced and not line.startswith("    "):
            yield number, re.sub(r"`[^`]*`", "``", line)


def _strings(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line of the comments and strings of Python code, with its number."""
    kinds = {tokenize.COMMENT, tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in kinds:
            yield from enumerate(token.string.splitlines(), token.start[0])


def test_prose_is_what_people_read(tmp_path: Path) -> None:
    page, code = tmp_path / "page.md", tmp_path / "code.py"
    page.write_text("one `two`\n```\nthree\n```\nfour\n\n    five\n")
    assert [line for _, line in prose(page)] == ["one ``", "four", ""]
    code.write_text('x = 1  # six\ny = f"seven {x} eight"\ndef nine():\n    """Ten\n\n    eleven."""\n')
    words = " ".join(line for _, line in prose(code))
    assert all(word in words for word in ("six", "seven", "eight", "Ten", "eleven"))
    assert "nine" not in words
    assert [number for number, line in prose(code) if "eleven" in line] == [6]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.example)
def test_each_pattern_finds_its_example(word: Word) -> None:
    assert re.search(word.pattern, word.example, re.IGNORECASE)


@pytest.mark.parametrize("path", files(PLAIN, ".md", ".yaml", ".py"), ids=shown)
def test_words_are_plain(path: Path) -> None:
    found = [
        f"{shown(path)}:{number}: {match[0]!r}; write: {word.instead}"
        for number, line in prose(path)
        for word in WORDS
        if (match := re.search(word.pattern, line, re.IGNORECASE))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", files([*TEXTS, *CODE], ".md", ".yaml", ".py"), ids=shown)
def test_cited_documents_exist(path: Path) -> None:
    """Paths of documents, ids of decisions, and no citation of a page that is not in the repository."""
    text = path.read_text(encoding="utf-8")
    for cited in re.findall(r"(?<![\w/.])docs/[\w./-]*\w", text):
        assert (ROOT / cited).exists(), f"{shown(path)} cites {cited}, which does not exist"
    unknown = set(re.findall(r"\bD-\d{3}\b", text)) - decisions().keys()
    assert not unknown, f"{shown(path)} cites {unknown}; the last decision is {max(decisions())}"
    assert not re.search(r"\bdesign('s)?,? (section )?\d|\bdesign('s)?,? section", text), (
        f"{shown(path)} cites a section of the design: cite a page of docs/design/"
    )


@pytest.mark.parametrize("path", files([*PACKAGES], ".py"), ids=shown)
def test_sections_of_the_paper(path: Path) -> None:
    """Lines that name no other paper's year cite DSA-reID: its sections and figures as in docs/design/paper.md."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not re.search(r"\b(19|20)\d\d\b", line):
            sections = re.findall(r"\bsection (\d[\d.]*\d|\d)", line)
            assert set(sections) <= {"3.1", "3.2", "3.2.3", "3.2.4", "4.2", "4.4"}, f"{shown(path)}: {line.strip()}"
            assert set(re.findall(r"\bfigure (\d)", line)) <= {"3"}, f"{shown(path)}: {line.strip()}"


@pytest.mark.parametrize("page", files(TEXTS, ".md"), ids=shown)
def test_named_files_exist(page: Path) -> None:
    """Paths in backticks that start with a folder of the repository, such as `dsap/warp.py`."""
    folders = "|".join([*CODE, "train/experiments", "studies", "docs"])
    for name in re.findall(rf"`((?:{folders})/[\w./-]+\.(?:py|md|yaml|json))", page.read_text(encoding="utf-8")):
        assert (ROOT / name).is_file(), f"{shown(page)} names {name}, which does not exist"


def test_the_table_of_moves_names_modules_that_there_are() -> None:
    """New names only; the table goes with the release that it belongs to."""
    unreleased = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## [")[1]
    for line in re.findall(r"^\| `[\w.]+` \| (`.+`) \|$", unreleased, re.MULTILINE):
        for module in re.findall(r"`([\w.]+)`", line):
            package, *parts = module.split(".")
            path = ROOT.joinpath({"dsa_data": "data", "dsa_train": "train"}.get(package, package), *parts)
            assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), f"CHANGELOG: no {module}"


@functools.cache
def decisions() -> dict[str, str]:
    """Return the section of each decision, by id, page by page."""
    found: dict[str, str] = {}
    for page in sorted(DECISIONS.glob("*.md")):
        for part in re.split(r"^(?=### D-)", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            number = part[4:9]
            assert number not in found, f"{shown(page)}: {number} is taken"
            found[number] = part
    return found


def test_decisions_are_complete_and_listed() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[(D-\d{3})\]\([\w-]+\.md#d-\d{3}\) \| (.+) \|$", index, re.MULTILINE))
    found = decisions()
    assert sorted(found) == [f"D-{number:03d}" for number in range(1, len(found) + 1)], "no number is left out"
    for number, section in found.items():
        title = section.splitlines()[0].removeprefix(f"### {number} ")
        assert listed[number] == title, f"{number} in decisions/README.md"
        assert re.search(r"^Status: (accepted|replaced by D-\d{3})\. Recorded \d{4}-\d\d\.$", section, re.MULTILINE)
        assert "- **Chosen.** " in section, f"{number} does not say what was chosen"
    assert listed.keys() == found.keys()


@pytest.fixture
def floors() -> ModuleType:
    """The script that draws the floors."""
    spec = importlib.util.spec_from_file_location("floors", ROOT / "docs" / "design" / "floors.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_shows_every_package_and_room(floors: ModuleType) -> None:
    pictured = {name: {room for room, _ in rooms if "." not in room} for name, _, rooms in floors.FLOORS}
    packages = {name: {path.parent.name for path in (ROOT / name).glob("*/__init__.py")} for name in PACKAGES}
    assert pictured == packages


def test_the_picture_is_the_scripts(floors: ModuleType) -> None:
    assert floors.OUT.read_text(encoding="utf-8") == floors.draw(), "run: python docs/design/floors.py"


README = (ROOT / "README.md").read_text(encoding="utf-8")
LONGEST_README = 90  # lines


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= LONGEST_README, "move the rest to a page of docs/"


@pytest.mark.parametrize("word", ["IUV", "chart", "texel", "DSAP", "guide"])
def test_the_readme_defines_a_word_where_it_first_uses_it(word: str) -> None:
    """Bold is where a word is defined; the text of a picture that is not seen comes before."""
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", README)
    first = re.search(rf"\b{word}", text)
    assert first is not None
    assert text[first.start() - 2 : first.end() + 2] == f"**{word}**"


def test_the_readme_explains_the_demo_as_the_quickstart_does() -> None:
    """Measured, chance and ceiling are the same numbers on both."""
    quickstart = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (measured,) = re.findall(
        r"^synthetic +([\d.]+) +[\d.]+ +[\d.]+ +([\d.]+) +[\d.]+ +([\d.]+)$", quickstart, re.MULTILINE
    )
    rank1, map_, chance = measured
    (ceiling,) = re.findall(r"^\| ceiling: .* \| [\d.]+ \| ([\d.]+) \|$", quickstart, re.MULTILINE)
    flat = " ".join(README.split())
    assert f"Rank-1 {rank1} and mAP {map_}" in flat
    assert f"A random order has mAP {chance}, matching by the true surface of body and bag {ceiling}" in flat
    assert f"| the demo | {rank1} | {map_} |" in quickstart
    assert f"| chance: a random order | 1.8 | {chance} |" in quickstart


MARKERS = re.compile(r"^(<{7} |>{7} |={7}$)", re.MULTILINE)  # that a merge leaves where both sides changed a line


@pytest.mark.parametrize("left", ["<<<<<<< HEAD", "=======", ">>>>>>> branch (Subject)"])
def test_markers_of_a_merge_are_seen(left: str) -> None:
    assert MARKERS.search(f"one\n{left}\ntwo\n")


@pytest.mark.parametrize(
    "path", files([*TEXTS, *CODE, "setup.cfg", "Makefile"], ".md", ".yaml", ".py", ".cfg", ".sh", ""), ids=shown
)
def test_no_marker_of_a_merge_is_left(path: Path) -> None:
    assert not MARKERS.search(path.read_text(encoding="utf-8")), shown(path)
