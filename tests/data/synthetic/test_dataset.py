"""The synthetic dataset on disk: layout, reproducible bytes, resuming, and what is refused."""

import csv
import dataclasses
import json
import math
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from dsa_app import config
from dsa_app.errors import BusyError, ConfigError, DatasetError
from dsa_app.lock import locked
from dsa_data import images, sets
from dsa_data.synthetic import dataset as synthetic
from dsa_data.synthetic.config import SynthConfig
from dsa_data.synthetic.dataset import synthesise
from dsa_data.synthetic.shots import person_of, plan
from repository import ROOT

TINY = SynthConfig(
    train_identities=5,
    test_identities=3,
    train_pictures=3,
    distractors=4,
    junk=2,
    cameras=3,
    height=64,
    width=32,
    twins=0.5,
)
COUNT = 5 * 3 + 3 * 6 + 4 + 2


def content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesise(TINY, tmp_path_factory.mktemp("rendered") / "synthetic")


def test_the_layout_is_market1501s(rendered: Path) -> None:
    names = [name for name in content(rendered) if name.endswith(".jpg")]
    pattern = re.compile(r"(bounding_box_train|query|bounding_box_test)/(-1|\d{4})_c\ds\d_\d{6}_\d{2}\.jpg")
    assert len(names) == COUNT
    assert all(pattern.fullmatch(name) for name in names)
    assert sum("/-1_" in name for name in names) == 2
    assert sum("/0000_" in name for name in names) == 4
    assert all("bounding_box_test" in name for name in names if "/-1_" in name or "/0000_" in name)
    assert sorted(path.name for path in rendered.iterdir()) == [
        "bounding_box_test", "bounding_box_train", "iuv", "query", "scenes.csv", "synth.json"
    ]  # fmt: skip
    assert [path.name for path in rendered.parent.iterdir()] == ["synthetic"]


def test_every_image_has_its_map(rendered: Path) -> None:
    for path in rendered.glob("*/*.jpg"):
        iuv = images.read(rendered / "iuv" / path.parent.name / f"{path.stem}_IUV.png")
        assert images.read(path).shape == iuv.shape == (64, 32, 3)
        assert iuv[..., 0].max() <= 24
        assert not iuv[iuv[..., 0] == 0].any()


def test_the_dataset_is_listed_as_market1501(rendered: Path) -> None:
    entries = sets.scan("synthetic", rendered)
    assert len(entries) == COUNT - 2  # junk is dropped
    cameras = defaultdict(set)
    for entry in entries:
        cameras[entry.split, entry.pid].add(entry.camid)
    test_pids = {pid for split, pid in cameras if split == "query"}
    assert test_pids == {6, 7, 8}
    assert all(len(cameras[split, pid]) >= 2 for pid in test_pids for split in ("query", "gallery"))
    assert all(len(cameras["train", pid]) >= 2 for pid in range(1, 6))


def test_every_query_has_matches_from_its_side_and_from_another() -> None:
    for group in plan(SynthConfig(train_identities=1, test_identities=40))[1:41]:
        queries = [shot for shot in group if shot.folder == "query"]
        gallery = [shot for shot in group if shot.folder == "bounding_box_test"]
        for query in queries:
            apart = [
                abs(math.remainder(shot.turn - query.turn, 2 * math.pi))
                for shot in gallery
                if shot.camid != query.camid
            ]
            assert min(apart) <= 0.5
            assert max(apart) >= math.pi / 2


def test_views_cover_the_whole_circle() -> None:
    turns = [shot.turn for group in plan(SynthConfig())[:300] for shot in group]
    counts = np.histogram(turns, bins=8, range=(0, 2 * math.pi))[0]
    assert counts.min() > 0.8 * np.mean(counts)


def test_the_list_of_scenes_has_every_image(rendered: Path) -> None:
    with (rendered / "scenes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["key"] for row in rows} == {name for name in content(rendered) if name.endswith(".jpg")}
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    twins = {row["pid"]: row["twin"] for row in rows if row["twin"]}
    assert twins == {"1": "2", "2": "1"}  # half of five identities make one pair, half of three none


def test_jobs_do_not_change_a_byte(rendered: Path, tmp_path: Path) -> None:
    assert content(synthesise(TINY, tmp_path / "again", jobs=2)) == content(rendered)


def test_another_seed_is_another_dataset(rendered: Path, tmp_path: Path) -> None:
    other = content(synthesise(SynthConfig(**config.to_dict(TINY) | {"seed": 2}), tmp_path / "other"))
    first = content(rendered)
    same = [name for name in first if name.endswith(".jpg") and first[name] == other.get(name)]
    assert not same


def test_more_identities_do_not_change_the_others(rendered: Path, tmp_path: Path) -> None:
    more = SynthConfig(**config.to_dict(TINY) | {"distractors": 6})
    first, second = content(rendered), content(synthesise(more, tmp_path / "more"))
    assert all(second[name] == data for name, data in first.items() if name.endswith((".jpg", ".png")))


def test_rendering_again_does_nothing(rendered: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in rendered.rglob("*")}
    synthesise(TINY, rendered)
    assert {path: path.stat().st_mtime_ns for path in rendered.rglob("*")} == before


KILLED = """
import json, os, sys
from pathlib import Path
from dsa_app import config
from dsa_data.synthetic import dataset as synthetic
left = int(sys.argv[2])
def render(scene, render=synthetic.render):
    global left
    left -= 1
    if left < 0:
        os._exit(9)
    return render(scene)
synthetic.render = render
settings = synthetic.SynthConfig(**json.loads(sys.argv[3]))
synthetic.synthesise(settings, Path(sys.argv[1]))
"""


@pytest.mark.parametrize("images_left", [0, 10, COUNT - 1])
def test_a_killed_rendering_is_resumed(rendered: Path, tmp_path: Path, images_left: int) -> None:
    root = tmp_path / "synthetic"
    arguments = [sys.executable, "-c", KILLED, str(root), str(images_left), json.dumps(config.to_dict(TINY))]
    assert subprocess.run(arguments, cwd=ROOT, check=False).returncode == 9
    assert not root.exists()
    finished = {path: path.stat().st_mtime_ns for path in (tmp_path / "synthetic.part").glob(".done/[0-9]*")}
    assert bool(finished) == (images_left > 0)
    calls = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "_render_group", _counted(calls))
        synthesise(TINY, root)
    assert len(calls) == len(plan(TINY)) - len(finished)
    assert content(root) == content(rendered)


def _counted(calls: list) -> object:
    render_group = synthetic._render_group

    def counted(*arguments: object) -> int:
        calls.append(arguments)
        return render_group(*arguments)  # type: ignore[arg-type]

    return counted


def test_other_settings_are_refused_and_overwrite_renders_them(rendered: Path, tmp_path: Path) -> None:
    small = SynthConfig(**config.to_dict(TINY) | {"train_identities": 1, "test_identities": 1, "distractors": 0})
    root = synthesise(small, tmp_path / "synthetic")
    with pytest.raises(DatasetError, match=r"train_identities was 1, this run wants 5.*\n.*--overwrite"):
        synthesise(TINY, root)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]
    assert content(synthesise(TINY, root, overwrite=True)) == content(rendered)
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


def test_a_run_begun_with_other_settings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    root = tmp_path / "synthetic"
    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "_render_all", stop)
        with pytest.raises(KeyboardInterrupt):
            synthesise(TINY, root)
    other = SynthConfig(**config.to_dict(TINY) | {"seed": 5})
    with pytest.raises(DatasetError, match="seed was 1, this run wants 5"):
        synthesise(other, root)
    assert synthesise(other, root, overwrite=True) == root


def test_what_a_call_left_that_was_killed_at_its_end_is_deleted(tmp_path: Path) -> None:
    root = synthesise(TINY, tmp_path / "synthetic")
    before = content(root)
    (root / ".done").mkdir()
    (tmp_path / ".synthetic.replaced").mkdir()
    (tmp_path / ".synthetic.lock").touch()
    synthesise(TINY, root)
    assert content(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]
    root.rename(tmp_path / ".synthetic.replaced")  # killed between the two renames
    synthesise(TINY, root)
    assert content(root) == before
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic"]


@pytest.mark.parametrize("damage", ["empty image", "other settings", "empty mark"])
def test_what_was_rendered_is_read_before_it_is_kept(rendered: Path, tmp_path: Path, damage: str) -> None:
    """As after a power cut, which may leave a mark without the images that it stands for."""
    root, part = tmp_path / "synthetic", tmp_path / "synthetic.part"
    other = SynthConfig(**config.to_dict(TINY) | {"seed": 5}) if damage == "other settings" else TINY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "_write_scenes", _stopped)
        with pytest.raises(KeyboardInterrupt):
            synthesise(other, root)
    if damage == "empty image":
        next(part.glob("query/*.jpg")).write_bytes(b"")
    elif damage == "empty mark":
        (part / ".done" / "0").write_bytes(b"")
    else:
        note = part / ".done" / "synth.json"
        note.write_text(note.read_text().replace('"seed": 5', '"seed": 1'))
    assert content(synthesise(TINY, root)) == content(rendered)


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_link_to_a_larger_disk_stays(rendered: Path, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "synthetic").symlink_to(tmp_path / "large" / "synthetic")
    assert content(synthesise(TINY, tmp_path / "synthetic")) == content(rendered)
    assert (tmp_path / "synthetic").is_symlink()
    assert [path.name for path in (tmp_path / "large").iterdir()] == ["synthetic"]


def test_another_folder_is_never_replaced(market: Path) -> None:
    before = content(market)
    for overwrite in (False, True):
        with pytest.raises(DatasetError, match="neither empty nor a synthetic dataset"):
            synthesise(TINY, market, overwrite=overwrite)
    assert content(market) == before


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "synthetic"
    with locked(root, "held"), pytest.raises(BusyError, match="rendering"):
        synthesise(TINY, root)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"cameras": 1}, "cameras = 1"),
        ({"twins": 1.5}, "twins = 1.5"),
        ({"queries": 3, "gallery": 2}, "gallery must be at least queries"),
        ({"train_identities": 9000, "test_identities": 1000}, "9999"),
        ({"mark_min": 9, "mark_max": 5}, "at least mark_min"),
        ({"picturs": 3}, "unknown setting"),
    ],
)
def test_invalid_settings_are_named(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.build(SynthConfig, values, "params.yaml: synth")


def test_synthetic_datasets_may_have_other_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSA_DATASETS", str(tmp_path))
    assert sets.is_synthetic("synthetic")
    assert sets.is_synthetic("synthetic-tables")
    assert not sets.is_synthetic("synthetic-../elsewhere")
    assert not sets.is_synthetic("market1501")
    assert sets.dataset_root("synthetic-tables") == tmp_path / "synthetic-tables"
    with pytest.raises(
        DatasetError, match=r"synthetic-tables is missing\. Render it: dsa-data synth --dataset synthetic-t"
    ):
        sets.scan("synthetic-tables")
    result = subprocess.run(
        [Path(sys.executable).parent / "dsa-data", "synth", "--dataset", "market1501"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert result.stderr.startswith("error: market1501 is not a synthetic dataset.")


def test_people_change_clothes(tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, clothes=2, train_identities=2, test_identities=2, distractors=1)
    root = synthesise(settings, tmp_path / "synthetic")
    entries = sets.scan("synthetic", root)
    by_person: dict[tuple[int, str], set[int]] = defaultdict(set)
    for entry in entries:
        by_person[entry.pid, entry.split].add(entry.clothes)
    assert by_person.pop((0, "gallery")) == {0}  # a distractor's are not numbered
    assert all(worn == {1, 2} for worn in by_person.values())
    with (root / "scenes.csv").open(newline="") as file:
        worn_in = {row["key"]: int(row["clothes"]) for row in csv.DictReader(file)}
    assert {entry.key: entry.clothes for entry in entries if entry.pid} == {
        key: worn_in[key] for key in (entry.key for entry in entries if entry.pid)
    }
    assert synthesise(settings, root) == root
    with pytest.raises(DatasetError, match="rendered with other settings"):
        synthesise(dataclasses.replace(settings, clothes=1), root)


def test_an_outfit_changes_garments_alone() -> None:
    first, second, third = (person_of(TINY, 0, 0, clothes) for clothes in (1, 2, 3))
    twin = person_of(dataclasses.replace(TINY, twins=1.0), 0, 1, 2)
    one = person_of(dataclasses.replace(TINY, twins=1.0), 0, 0, 2)
    assert (one.appearance.top, one.appearance.bottom) == (twin.appearance.top, twin.appearance.bottom)
    assert one.appearance.marks != twin.appearance.marks
    assert len({person.appearance.top for person in (first, second, third)}) == 3
    assert first.body.build == second.body.build
    for name in ("skin", "hair", "marks", "bag", "sleeve", "hem", "leg"):
        assert getattr(first.appearance, name) == getattr(second.appearance, name)


def test_without_the_setting_a_dataset_is_as_before(rendered: Path) -> None:
    assert "clothes" not in (rendered / "synth.json").read_text()
    assert "clothes" not in (rendered / "scenes.csv").read_text()
    assert {entry.clothes for entry in sets.scan("synthetic", rendered)} == {0}
    assert all("s1_" in name for name in content(rendered) if name.endswith(".jpg"))
