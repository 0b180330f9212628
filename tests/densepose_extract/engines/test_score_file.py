"""Scores of imported maps from a CSV file."""

import math
from pathlib import Path

import pytest

from densepose_extract.engines.imported import Imported
from densepose_extract.engines.score_file import read_scores
from dsa_app.errors import ImageError
from dsa_data.records import Record
from tiny import random_iuv, write_iuv_image

KEYS = ["q/a.jpg", "q/b.jpg", "g/c.jpg"]


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_scores_by_path_or_unique_name(tmp_path: Path) -> None:
    text = "\ufeffImage, Score ,confidence\nq/a.jpg,0.5,0.25\nb.jpg,2,\ng\\c.jpg,,1\nother.jpg,1,1\n"
    scores = read_scores(table(tmp_path / "s.csv", text), KEYS)
    assert scores.confidences
    assert scores.of["q/a.jpg"] == (0.5, 0.25)
    assert scores.of["q/b.jpg"][0] == 2
    assert math.isnan(scores.of["q/b.jpg"][1])
    assert math.isnan(scores.of["g/c.jpg"][0])
    assert scores.of["g/c.jpg"][1] == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has the columns \\(none\\): expected key and score"),
        ("a,b\n1,2\n", "has the columns a, b"),
        ("key,score\nq/a.jpg,x\n", "line 2: score 'x' is invalid"),
        ("key,score\nq/a.jpg,-1\n", "line 2: score '-1' is invalid"),
        ("key,score\nq/a.jpg,nan\n", "line 2: score 'nan' is invalid"),
        ("key,confidence\nq/a.jpg,1.1\n", "line 2: confidence '1.1' is invalid, expected a number, 0 to 1"),
        ("key,score\nq/a.jpg,1\nq/a.jpg,1\n", "line 3: q/a.jpg has a line already"),
        ("key,score\nq/a.jpg,1\n", "has no line for q/b.jpg"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ImageError, match=rf"s\.csv.*{reason}"):
        read_scores(table(tmp_path / "s.csv", text), KEYS)


def test_a_name_of_two_images_is_no_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"no line for q/a\.jpg"):
        read_scores(table(tmp_path / "s.csv", "key,score\na.jpg,1\n"), ["q/a.jpg", "g/a.jpg"])


def test_maps_have_the_scores(tmp_path: Path) -> None:
    record = Record("a.jpg", "all", 0, 0, 8, 6, "00" * 32)
    write_iuv_image(tmp_path / "a_IUV.png", random_iuv(6, 8), "rgb")
    plain = Imported(tmp_path, [record])
    digests = [plain.find(record).digest]
    for text in ("key,score\na.jpg,0.5\n", "key,score,confidence\na.jpg,0.5,0.75\n"):
        scores = read_scores(table(tmp_path / "s.csv", text), ["a.jpg"])
        engine = Imported(tmp_path, [record], scores=scores)
        found = engine.find(record).read(record)
        assert found.score == 0.5
        digests.append(engine.find(record).digest)
        assert engine.identity.get("confidence", "none") == ("images" if "confidence" in text else "none")
        assert found.image_confidence == 0.75 if "confidence" in text else math.isnan(found.image_confidence)
    assert len(set(digests)) == 3
