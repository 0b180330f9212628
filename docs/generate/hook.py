"""MkDocs events: generated pages, links out of docs/, and anchors as GitHub makes them. See mkdocs.yml."""

from __future__ import annotations

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import api_page
import commands_page
import errors_page
import navigation
import notebook_page
import settings_page
from outside import PAGES, ROOT, Outside

GENERATED = {
    "tutorials/first-steps.md": lambda: notebook_page.page(ROOT / "docs" / "tutorials" / "first-steps.ipynb"),
    "reference/settings.md": settings_page.page,
    "reference/errors.md": errors_page.page,
    "reference/dsa_reid.md": api_page.deployment,
    "reference/evaluation.md": api_page.evaluation,
    **{f"reference/{group}.md": lambda group=group: commands_page.page(group) for group in commands_page.GROUPS},
}


def slug(heading: str, separator: str) -> str:
    """Return the anchor of a heading, as GitHub makes it, so that one link works there and on the site."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"<[^>]+>", "", heading).lower()).replace(" ", separator)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Set the anchors; complete the navigation."""
    own = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    config.nav = navigation.completed(config.nav or [], own)
    config.mdx_configs["toc"] = {**config.mdx_configs.get("toc", {}), "slugify": slug}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, the documents of the root folder, and what any page links to outside docs/."""
    outside = Outside({site: source for source, site in PAGES.items() if source != "README.md"})
    for path, make in GENERATED.items():
        files.append(File.generated(config, path, content=make()))
    for source, site in outside_documents().items():
        files.append(File.generated(config, site, content=(ROOT / source).read_text(encoding="utf-8")))
    for file in list(files.documentation_pages()):
        text = outside.rewritten(file.content_string, file.src_uri)
        if text != file.content_string:
            file.content_string = text
    for path, text in outside.pages.items():
        files.append(File.generated(config, path, content=text))
    for path, original in outside.copies.items():
        files.append(File.generated(config, path, abs_src_path=str(original)))
    return files


def outside_documents() -> dict[str, str]:
    """Return the documents of the root folder that have a page of their own: README.md is for the repository alone."""
    return {source: site for source, site in PAGES.items() if source != "README.md"}
