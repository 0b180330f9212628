"""Let `dvc plots show` draw without a network.

    pip install vl-convert-python
    python examples/offline_plots.py
    dvc plots show --open

DVC's page loads Vega from cdn.jsdelivr.net. This program writes a template that holds Vega itself, taken from the
package vl-convert-python, and names it in `.dvc/config.local`, which is this clone's alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(".dvc")
TEMPLATE = Path("tmp") / "plots.html"  # in that folder, which git ignores
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
{refresh_tag}
<title>DVC Plot</title>
<script>
(function () {
%s
})();
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def page(vega: str) -> str:
    """Return DVC's template with a script that defines `window.vegaEmbed`.

    The script is in a function, since DVC's plots declare variables of their own. DVC's placeholder for the scripts of
    the network is left out.
    """
    return PAGE % vega


def main() -> int:
    """Write the template and DVC's setting; return the exit code."""
    if not FOLDER.is_dir():
        print("error: .dvc does not exist. Run this in the folder of the project.", file=sys.stderr)
        return 2
    try:
        import vl_convert  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError:
        print("error: vl-convert-python is not installed: pip install vl-convert-python", file=sys.stderr)
        return 2
    written = FOLDER / TEMPLATE
    written.parent.mkdir(exist_ok=True)
    written.write_text(page(vl_convert.javascript_bundle()), encoding="utf-8")
    setting = ["config", "--local", "plots.html_template", str(TEMPLATE)]
    if subprocess.run([sys.executable, "-m", "dvc", *setting], check=False).returncode:
        print("error: DVC did not take the setting; see its message above.", file=sys.stderr)
        return 2
    print(written)
    return 0


if __name__ == "__main__":
    sys.exit(main())
