"""The example of docs/evaluation.md runs as it is printed."""

import re

import numpy as np
import pytest

from repository import ROOT


def test_the_example_of_ten_lines(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    rows = {"qf": rng.normal(size=(9, 5)), "gf": rng.normal(size=(30, 5))}
    rows = {name: (one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for name, one in rows.items()}
    labels = {"q_pids": rng.integers(0, 4, 9), "g_pids": rng.integers(0, 4, 30)}
    labels |= {"q_camids": np.ones(9, int), "g_camids": rng.integers(1, 4, 30)}
    np.savez(tmp_path / "features.npz", **rows, **labels)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(from pathlib.*?)```", page, re.DOTALL)
    assert len(code) == 1
    found = {}
    exec(code[0], found)
    assert found["again"].mAP == pytest.approx(found["result"].mAP)
    assert capsys.readouterr().out.startswith("Rank-1 ")
