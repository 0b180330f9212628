import json
import math
import sys

import numpy as np
import pytest

from dsa_app.errors import ConfigError, DatasetError
from dsa_app.row_files import read_rows, write_rows

ROWS = [
    {"query": "a,b.jpg", "pid": np.int64(3), "ap": np.float64(0.5), "correct": True, "rank": None},
    {"query": 'ü "c".jpg', "pid": 4, "ap": math.nan, "correct": False, "rank": 2},
]


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_rows_come_back_with_their_types(tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    path = write_rows(tmp_path / f"rows.{suffix}", ROWS)
    first, second = read_rows(path, ["query", "ap"])
    assert first == {"query": "a,b.jpg", "pid": 3, "ap": 0.5, "correct": True, "rank": None}
    assert second == {"query": 'ü "c".jpg', "pid": 4, "ap": None, "correct": False, "rank": 2}
    assert write_rows(tmp_path / f"again.{suffix}", ROWS).read_bytes() == path.read_bytes()


def test_csv_is_text(tmp_path):
    path = write_rows(tmp_path / "rows.csv", ROWS)
    assert path.read_text().splitlines()[1:] == ['"a,b.jpg",3,0.5,true,', '"ü ""c"".jpg",4,,false,2']
    assert read_rows(path, ["query"])[1]["ap"] is None


def test_pandas_would_read_the_json(tmp_path):
    content = json.loads(write_rows(tmp_path / "rows.json", ROWS).read_text())
    assert [sorted(row) for row in content] == [sorted(ROWS[0])] * 2


def test_another_name_and_a_missing_package_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"expected a name that ends in \.csv, \.json, \.parquet"):
        write_rows(tmp_path / "rows.txt", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"Parquet needs pyarrow\. Install it: .*pip install .*\[parquet\]"):
        write_rows(tmp_path / "rows.parquet", ROWS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_a_file_of_something_else_is_an_error_in_one_line(tmp_path, suffix):
    path = tmp_path / f"rows.{suffix}"
    with pytest.raises(DatasetError, match="does not exist"):
        read_rows(path, ["query"])
    path.write_bytes(b'{"a": "b"\xff')
    with pytest.raises(DatasetError, match=rf"rows\.{suffix}") as error:
        read_rows(path, ["query"])
    assert "\n" not in str(error.value)
    path.write_text('[{"a": 1}]' if suffix == "json" else "a\n1\n")
    with pytest.raises(DatasetError, match=r"has no column query|is not a parquet file"):
        read_rows(path, ["query"])
