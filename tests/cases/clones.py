"""Programs run in a folder of their own, as a user would: the repository's pipeline, with tiny settings."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from repository import ROOT


def call(root: Path, program: str, *arguments: str | Path) -> str:
    """Run a program in a folder with nothing set in its environment; return what it printed."""
    scripts = Path(sys.executable).parent
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DSA_")}
    environment |= {"OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1", "PATH": f"{scripts}:{os.environ['PATH']}"}
    done = subprocess.run(
        [scripts / program, *map(str, arguments)], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def copy_pipeline(root: Path) -> None:
    """Copy the pipeline and the experiments that git carries into a folder."""
    shutil.copy(ROOT / "dvc.yaml", root)
    shutil.copytree(ROOT / "experiments", root / "experiments")
