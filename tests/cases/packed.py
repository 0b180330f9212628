"""The files of a finished pipeline in a clone, for the tests of sharing."""

import hashlib
from pathlib import Path

DATASET = "market1501"
FILES = {
    "manifest.csv": b"key,split\n",
    "iuv.h5": bytes(range(256)) * 5000,
    "dsap.h5": b"\0parts" * 1000,
    "protocols/split00.csv": b"key\n",
    "runs/table3/dsa-reid/model.pt": b"weights" * 100,
    "sheet.png": b"not shared",
}
STAGES = {"extract": ["iuv.h5"], "warp": ["dsap.h5"], "train": ["runs/table3/dsa-reid/model.pt"]}


def fill(root: Path, files: dict[str, bytes] = FILES) -> Path:
    """Write the files of a dataset below a clone's artifacts/; return their folder."""
    folder = root / "artifacts" / DATASET
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def lock(root: Path, dataset: str = DATASET, more: str = "") -> str:
    """Write the dvc.lock of the files that are there, as DVC writes it; return its text."""
    text = "schema: '2.0'\nstages:\n"
    for stage, names in STAGES.items():
        text += (
            f"  {stage}:\n    cmd: run {stage}{more}\n    deps:\n    - path: experiments/demo.yaml\n      md5: 1e5\n"
        )
        text += "    params:\n      params.yaml:\n        rate: 1e-05\n    outs:\n"
        for name in names:
            data = (root / "artifacts" / DATASET / name).read_bytes()
            md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
            text += (
                f"    - path: artifacts/{dataset}/{name}\n      hash: md5\n      md5: {md5}\n      size: {len(data)}\n"
            )
    (root / "dvc.lock").write_text(text)
    return text


def contents(root: Path) -> dict[str, bytes]:
    """Return the bytes of every file below a folder, by path."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
