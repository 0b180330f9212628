"""Plans: every picture once, the same for the same inputs, other names for other inputs."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import BatchEngine
from densepose_extract import plan as plans
from densepose_extract.engines.rendered import Rendered
from densepose_extract.plan import inputs_digest, plan, units_of
from dsa_data.records import Record, read_manifest
from tiny import add_true_maps, list_images, random_iuv, write_iuv_image


def records(sizes: list[tuple[int, int]]) -> list[Record]:
    return [Record(f"{n:03}.jpg", "train", 1, 1, w, h, f"{n:064x}") for n, (h, w) in enumerate(sizes)]


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=20), batch=st.integers(1, 5)
)
def test_every_picture_once(sizes: list[tuple[int, int]], batch: int) -> None:
    listed = records(sizes)
    pieces = plan(listed, BatchEngine(batch))
    assert sorted(place for piece in pieces for place in piece.places) == list(range(len(sizes)))
    assert len({piece.name for piece in pieces}) == len(pieces)
    assert plan(listed, BatchEngine(batch)) == pieces
    for piece in pieces:
        assert len(set(piece.units)) == 1  # decided together


def test_a_changed_picture_changes_its_batch_alone() -> None:
    listed = records([(2, 2)] * 7)
    changed = [*listed]
    changed[4] = dataclasses.replace(listed[4], digest="ff" * 32)
    before, after = plan(listed, BatchEngine(3)), plan(changed, BatchEngine(3))
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert inputs_digest(listed, units_of(before)) != inputs_digest(changed, units_of(after))


def test_other_settings_give_other_names_but_the_same_units() -> None:
    listed = records([(2, 2)] * 3)
    (one,), (other,) = plan(listed, BatchEngine()), plan(listed, BatchEngine(checkpoint="cd" * 32))
    assert one.units == other.units
    assert one.name != other.name


def test_a_changed_map_changes_its_unit_alone(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MAPS", 4)
    add_true_maps(market)
    listed = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    before = plan(listed, Rendered(market))
    assert [len(piece.places) for piece in before] == [4, 4, 4, 4]
    path = before[1].files[2].path
    assert path is not None
    write_iuv_image(path, random_iuv(24, 12, 1234))
    after = plan(listed, Rendered(market))
    differ = [a != b for a, b in zip(units_of(before), units_of(after), strict=True)]
    assert [place for place, changed in enumerate(differ) if changed] == [6]
    assert [a.name == b.name for a, b in zip(before, after, strict=True)] == [True, False, True, True]
