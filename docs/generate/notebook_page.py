"""Notebooks as pages of the site: text as it is, code as code; what they print is seen where they are run."""

from __future__ import annotations

import json
from pathlib import Path


def page(notebook: Path) -> str:
    """Return a notebook as Markdown, with a note on how to run it under its title."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    parts = []
    for cell in cells:
        text = "".join(cell["source"]).rstrip()
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, _, rest = parts[0].partition("\n")
    note = f"*This page shows the notebook `docs/tutorials/{notebook.name}`; run it to see what it prints and draws.*"
    return "\n\n".join([title, note, rest.strip(), *parts[1:]]) + "\n"
