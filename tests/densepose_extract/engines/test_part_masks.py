"""Part masks of other parsers: the forms they are written in, the mappings that come with the project, I alone."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from densepose_extract.engines.imported import Imported
from densepose_extract.engines.part_masks import MAPPINGS, decode_parts, mask_stems, read_mapping
from dsa_app.errors import ConfigError, ImageError
from dsa_data.charts import CHART_NAMES, REGION_OF_CHART
from dsa_data.records import Record

LABELS = np.array([[0, 1, 2], [7, 7, 0]])
MAPPING = {0: 0, 1: 23, 2: 3, 7: 2}
CHARTS = np.array([[0, 23, 3], [2, 2, 0]])
KNOWN = {"lip": 20, "atr": 18, "pascal": 7, "sapiens-28": 28, "coco-parts": 15}  # labels, with the background


def record(key: str) -> Record:
    return Record(key, "all", 0, 0, 3, 2, "00" * 32)


def write(path: Path, form: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = Image.fromarray(LABELS.astype(np.uint8))
    if form == "palette":  # as SCHP's simple_extractor.py: indices of its colours
        grey.putpalette([(37 * n) % 256 for n in range(3 * 20)])
        grey.save(path)
    elif form == "grey":
        grey.save(path)
    elif form == "three channels":
        Image.merge("RGB", [grey] * 3).save(path)
    elif form == "16 bits":
        Image.fromarray(LABELS.astype(np.uint16)).save(path)
    elif form == "npz":
        np.savez(path, labels=LABELS.astype(np.int32))
    else:
        np.save(path, {"int64": LABELS, "float": LABELS.astype(np.float32), "1HW": LABELS[None]}[form])
    return path


@pytest.mark.parametrize(
    ("form", "ending"),
    [("palette", "png"), ("grey", "png"), ("three channels", "png"), ("16 bits", "png"), ("npz", "npz")]
    + [(form, "npy") for form in ("int64", "float", "1HW")],
)
def test_every_form_is_a_map_of_its_charts(tmp_path: Path, form: str, ending: str) -> None:
    path = write(tmp_path / f"q/a.{ending}", form)
    found = decode_parts(path.read_bytes(), path, MAPPING)
    assert np.array_equal(found.values[..., 0], CHARTS)
    assert not found.values[..., 1:].any()
    for channels in ("auto", "bgr"):  # of I, U, V maps, not of masks
        engine = Imported(tmp_path, [record("q/a.jpg")], channels, mapping=MAPPING)  # type: ignore[arg-type]
        extracted = engine.find(record("q/a.jpg")).read(record("q/a.jpg"))
        assert np.array_equal(extracted.iuv[..., 0], CHARTS)
        assert not extracted.has_uv
        assert extracted.box.tolist() == [0, 0, 3, 2]


def test_a_mask_that_was_not_kept_in_memory_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("densepose_extract.engines.imported.MEMORY", 0)
    write(tmp_path / "a.png", "palette")
    file = Imported(tmp_path, [record("a.jpg")], mapping=MAPPING).find(record("a.jpg"))
    assert file.kept is None
    assert np.array_equal(file.read(record("a.jpg")).iuv[..., 0], CHARTS)


def test_sapiens_files_are_told_apart(tmp_path: Path) -> None:
    """It writes a.png to look at, a.npy with the person, and a_seg.npy with the labels."""
    np.save(tmp_path / "a.npy", LABELS > 0)
    Image.fromarray(np.zeros((2, 6, 3), np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "a_seg.npy", LABELS)
    assert mask_stems(tmp_path) == {"a_seg.npy": "a"}
    extracted = Imported(tmp_path, [record("x/a.jpg")], mapping=MAPPING).find(record("x/a.jpg"))
    assert np.array_equal(extracted.read(record("x/a.jpg")).iuv[..., 0], CHARTS)


def test_the_mapping_decides_the_maps_and_is_part_of_the_identity(tmp_path: Path) -> None:
    write(tmp_path / "a.png", "grey")
    engine = Imported(tmp_path, [record("a.jpg")], mapping=MAPPING)
    assert engine.identity == {"engine": "import", "bits": 0, "mapping": {"0": 0, "1": 23, "2": 3, "7": 2}}


def test_what_is_no_mask_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "bool.npy", LABELS > 0)
    np.save(tmp_path / "half.npy", LABELS + 0.5)
    np.save(tmp_path / "text.npy", np.array([["a"]]))
    np.save(tmp_path / "negative.npy", LABELS - 1)
    np.save(tmp_path / "deep.npy", np.zeros((4, 5, 6), int))
    np.savez(tmp_path / "two.npz", a=LABELS, b=LABELS)
    Image.fromarray(np.arange(18, dtype=np.uint8).reshape(2, 3, 3)).save(tmp_path / "colours.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (tmp_path / "jpeg.png").write_bytes(b"\xff\xd8\xff")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(ImageError, match=re.escape(path.name)) as error:
            decode_parts(path.read_bytes(), path, MAPPING)
        assert "\n" not in str(error.value)


def test_a_label_without_a_chart_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", "palette")
    with pytest.raises(ImageError, match=r"a\.png has the label 7, which the mapping does not name\. Add 7: CHART"):
        decode_parts(path.read_bytes(), path, {0: 0, 1: 23, 2: 3})


def test_masks_of_another_size_and_missing_ones_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.png", "grey")
    other = Record("a.jpg", "all", 0, 0, 4, 2, "00" * 32)
    with pytest.raises(ImageError, match=r"is 3x2, but its image a\.jpg is 4x2"):
        Imported(tmp_path, [other], mapping=MAPPING).find(other).read(other)
    with pytest.raises(ImageError, match=r"no map for 1 of 2 images, first b\.jpg: expected b\.png"):
        Imported(tmp_path, [record("a.jpg"), record("b.jpg")], mapping=MAPPING)


@pytest.mark.parametrize("name", KNOWN)
def test_mappings_of_the_project_are_complete_and_cite_their_labels(name: str) -> None:
    mapping = read_mapping(name)
    assert sorted(mapping) == list(range(KNOWN[name]))
    assert mapping[0] == 0
    text = (MAPPINGS / f"{name}.yaml").read_text()
    assert "https://github.com/" in text
    for label, chart in mapping.items():  # the comment is the parser's own name: its words say side and part
        comment = re.search(rf"^  {label}: {chart} # (.+)$", text, re.MULTILINE)
        assert comment, label
        words = comment[1].lower().replace("_", " ").replace("-", " ").split(":")[0].split()
        chart_name = CHART_NAMES[chart - 1] if chart else ""
        for side in {"left", "right"} & set(words):
            assert side in chart_name, comment[1]
        for part in ({"hand", "foot", "head", "torso"} & set(words)) - ({"head"} if "face" in words else set()):
            assert part in chart_name, comment[1]
        if "arm" in words or "leg" in words:
            assert ("arm" if "arm" in words else "leg") in chart_name, comment[1]
            for which in {"upper", "lower"} & set(words):
                assert which in chart_name, comment[1]


def test_coco_parts_are_those_that_detectron2_makes_of_charts() -> None:
    """FINE_TO_COARSE_SEGMENTATION of DensePoseBaseSampler, in the comments of the file: each chart is in one part."""
    text = (MAPPINGS / "coco-parts.yaml").read_text()
    charts = [
        int(n)
        for numbers in re.findall(r"^  \d+: \d+ # [^:]+: ([\d, ]+)$", text, re.MULTILINE)
        for n in numbers.split(",")
    ]
    alone = [chart for chart in read_mapping("coco-parts").values() if chart in (3, 4, 5, 6)]
    assert sorted(charts + alone) == list(range(1, 25))
    for chart, numbers in re.findall(r"^  \d+: (\d+) # [^:]+: ([\d, ]+)$", text, re.MULTILINE):
        both = [int(n) for n in numbers.split(",")]
        assert int(chart) in both
        assert len(set(REGION_OF_CHART[both])) == 1


def test_a_mapping_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mapping: {0: 0, 15: 3}\n")
    assert read_mapping(str(path)) == {0: 0, 15: 3}
    for text in ("charts: {1: 2}", "mapping: []", "mapping: {1: 25}", "mapping: {-1: 2}", "mapping: {a: 2}", "{}"):
        path.write_text(text + "\n")
        with pytest.raises(ConfigError, match=r"mine\.yaml"):
            read_mapping(str(path))
    with pytest.raises(ConfigError, match=r"'lipp' is no file.*atr, coco-parts, lip, pascal, sapiens-28"):
        read_mapping("lipp")
