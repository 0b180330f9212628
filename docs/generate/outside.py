"""Links that lead from a document to a file outside docs/: on the site they lead to a page or a copy of that file."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"(\]\(<?)([^)\s>]+)(>?(?:\s+\"[^\"]*\")?\))")
FENCE = re.compile(r"(^ *(?:```|~~~).*?^ *(?:```|~~~) *$)", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|/", re.IGNORECASE)
PAGES = {  # documents of the root folder that have a page on the site
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "CODE_OF_CONDUCT.md": "project/code-of-conduct.md",
}
FILES = "files"  # folder of the site where copies are
PICTURES = (".png", ".jpg", ".svg", ".gif")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".sh": "bash", ".json": "json", ".cfg": "ini"}
LONGEST = 200_000  # characters of a file that is shown as a page; larger ones are not linked


class Outside:
    """The files outside docs/ that pages link to, by their path on the site.

    Args:
        documents: path of each document in the repository, by its path on the site, where the two differ.
    """

    def __init__(self, documents: dict[str, str]) -> None:
        self.documents = documents
        self.pages: dict[str, str] = {}  # Markdown by path on the site
        self.copies: dict[str, Path] = {}  # files by path on the site

    def rewritten(self, text: str, page: str) -> str:
        """Return a page's text with links for the site.

        Args:
            page: its path on the site.
        """
        parts = FENCE.split(text)
        return "".join(part if index % 2 else self._links(part, page) for index, part in enumerate(parts))

    def _links(self, text: str, page: str) -> str:
        return LINK.sub(lambda match: match[1] + self._target(match[2], page) + match[3], text)

    def _target(self, target: str, page: str) -> str:
        if ELSEWHERE.match(target):
            return target
        name, mark, anchor = target.partition("#")
        source = self.documents.get(page, f"docs/{page}")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), name))
        site = self._on_site(path)
        if site is None:
            return target
        return posixpath.relpath(site, posixpath.dirname(page) or ".") + mark + anchor

    def _on_site(self, path: str) -> str | None:
        """Return the path on the site of a path in the repository; None if the link is to stay as it is."""
        if path in PAGES:
            return PAGES[path]
        if path.startswith("docs/") and not path.endswith((".py", ".sh")):
            return path.removeprefix("docs/").removesuffix(".ipynb") + ".md" * path.endswith(".ipynb")
        file = ROOT / path
        if file.is_dir():
            return self._folder(path, file)
        if not file.is_file():
            return None
        if file.suffix in PICTURES:
            self.copies[f"{FILES}/{path}"] = file
            return f"{FILES}/{path}"
        site = f"{FILES}/{path}.md"
        self.pages[site] = _shown(path, file)
        return site

    def _folder(self, path: str, folder: Path) -> str:
        site = f"{FILES}/{path}/listing.md"
        names = sorted(
            f"{one.name}/" if one.is_dir() else one.name for one in folder.iterdir() if one.name[0] not in "._"
        )
        self.pages[site] = _unsearched(
            f"# {path}/\n\nA folder of the repository.\n\n" + "".join(f"- `{name}`\n" for name in names)
        )
        return site


def _shown(path: str, file: Path) -> str:
    """Return a page that shows a text file."""
    text = file.read_text(encoding="utf-8")
    if len(text) > LONGEST:
        return _unsearched(f"# {path}\n\nA file of {len(text):,} characters in the repository.\n")
    fence = "`" * 5
    language = LANGUAGES.get(file.suffix, "text")
    return _unsearched(f"# {path}\n\n{fence}{language}\n{text.rstrip()}\n{fence}\n")


def _unsearched(text: str) -> str:
    """Return a page that the site's search passes over."""
    return f"---\nsearch:\n  exclude: true\n---\n\n{text}"
