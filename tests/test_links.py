"""Every link of a document leads somewhere: the file is there, and so is the heading."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from repository import ROOT, sources

FENCE = re.compile(r"^ *(```|~~~).*?^ *\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)")  # of an image within a link too
REFERENCE = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(\S+?)>?\s*$", re.MULTILINE)
HTML = re.compile(r"<(?:a|img)\s[^>]*(?:href|src)=\"([^\"]+)\"")
NAMED = re.compile(r"<a (?:id|name)=\"([^\"]+)\"")
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*\s*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)  # https: and the like, which are not looked up


def links(text: str) -> list[str]:
    """Return where the links of a Markdown text lead to; what is shown as code is no link."""
    text = CODE.sub("", FENCE.sub("", text))
    return [target for pattern in (LINK, REFERENCE, HTML) for target in pattern.findall(text)]


def anchors(text: str) -> Iterator[str]:
    """Yield the anchors of a text: those that it names, and of its headings, as GitHub makes them."""
    yield from NAMED.findall(text)
    seen: dict[str, int] = {}
    for heading in HEADING.findall(FENCE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        yield f"{anchor}-{count}" if count else anchor


def broken(document: Path, root: Path) -> list[str]:
    """Return the links of a document that lead nowhere."""
    text = document.read_text(encoding="utf-8")
    wrong = []
    for target in links(text):
        if ELSEWHERE.match(target):
            continue
        name, _, anchor = unquote(target).partition("#")
        path = document if not name else (root / name[1:] if name.startswith("/") else document.parent / name)
        missing = not path.exists()
        if missing or (anchor and path.suffix == ".md" and anchor not in anchors(path.read_text(encoding="utf-8"))):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize(
    "document", [path for path in sources() if path.suffix == ".md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert broken(document, ROOT) == []


def test_what_is_a_link_and_what_is_broken(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "there.md").write_text("# A title: `with` code, and a [link](x)\n## Twice\n## Twice\n")
    page = tmp_path / "docs" / "page.md"
    page.write_text(
        "[a](../there.md) [b](../there.md#a-title-with-code-and-a-link) [c](../there.md#twice-1) [d](#here)\n"
        '![e](/there.md) [![f](gone.png)](../there.md) [g](https://example.org/gone) [h](/gone.md "title")\n'
        '[i](../there.md#twice-2) [j](#there) <img src="gone.jpg" width=3> `[k](code.md)`\n'
        "```\n[l](fenced.md)\n# no heading\n```\n# Here\n[m]\n\n[m]: gone.txt\n"
        '[n](mailto:a@example.org) [o](#no-heading) [p](#d-1) [q](#d-2)\n<a id="d-1"></a>\n'
    )
    assert broken(page, tmp_path) == [
        "gone.png", "/gone.md", "../there.md#twice-2", "#there", "#no-heading", "#d-2", "gone.txt", "gone.jpg",
    ]  # fmt: skip
