"""Plans: every image once, the same for the same inputs, other names for other inputs."""

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batches import BatchEngine
from densepose_extract import plan as plans
from densepose_extract.engines.engine import Engine
from densepose_extract.engines.maps import Maps
from densepose_extract.engines.rendered import Rendered
from densepose_extract.plan import Plan, make_plan
from dsa_data.records import Record, read_manifest
from dsa_data.stores.header import digest_of
from tiny import list_images, random_iuv, write_iuv_image, write_true_maps


def records(sizes: list[tuple[int, int]]) -> list[Record]:
    return [Record(f"{n:03}.jpg", "train", 1, 1, w, h, f"{n:064x}") for n, (h, w) in enumerate(sizes)]


def plan_of(listed: list[Record], engine: Engine | Maps) -> Plan:
    return make_plan(listed, "tiny", engine)


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=20), batch=st.integers(1, 5)
)
def test_every_image_is_in_one_batch(sizes: list[tuple[int, int]], batch: int) -> None:
    listed = records(sizes)
    plan = plan_of(listed, BatchEngine(batch))
    assert sorted(index for each in plan.batches for index in each.indices) == list(range(len(sizes)))
    assert len({each.name for each in plan.batches}) == len(plan.batches)
    assert plan_of(listed, BatchEngine(batch)) == plan
    for each in plan.batches:
        assert [listed[index] for index in each.indices] == list(each.records)
        assert set(each.batch_digests) == {digest_of(record.digest for record in each.records)}  # made together


def test_the_header_states_what_the_store_is_made_from() -> None:
    listed, engine = records([(2, 2)] * 4 + [(1, 1)]), BatchEngine(3)
    header = plan_of(listed, engine).header
    assert (header.dataset, header.configuration) == ("tiny", engine.identity)
    first, rest = (digest_of(listed[n].digest for n in indices) for indices in ([0, 1, 2], [3]))
    digests = [first, first, first, rest, digest_of([listed[4].digest])]
    lines = [f"{record.key} {record.digest} {digest}" for record, digest in zip(listed, digests, strict=True)]
    assert header.inputs == digest_of(lines)


def test_a_changed_image_changes_its_batch_alone() -> None:
    listed = records([(2, 2)] * 7)
    changed = [*listed]
    changed[4] = dataclasses.replace(listed[4], digest="ff" * 32)
    before, after = plan_of(listed, BatchEngine(3)), plan_of(changed, BatchEngine(3))
    assert [a == b for a, b in zip(before.batches, after.batches, strict=True)] == [True, False, True]
    assert before.header.inputs != after.header.inputs


def test_other_settings_give_other_names_but_the_same_batch_digests() -> None:
    listed = records([(2, 2)] * 3)
    one, other = plan_of(listed, BatchEngine()), plan_of(listed, BatchEngine(checkpoint="cd" * 32))
    assert one.batches[0].batch_digests == other.batches[0].batch_digests
    assert one.batches[0].name != other.batches[0].name
    assert one.header.inputs == other.header.inputs


def test_a_changed_map_changes_its_batch_digest_alone(
    market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "MAPS", 4)
    write_true_maps(market)
    listed = read_manifest(list_images(market, tmp_path / "manifest.csv"))
    before = plan_of(listed, Rendered(market)).batches
    assert [each.indices for each in before] == [tuple(range(start, start + 4)) for start in (0, 4, 8, 12)]
    path = before[1].map_files[2].path
    assert path is not None
    write_iuv_image(path, random_iuv(24, 12, 1234))
    after = plan_of(listed, Rendered(market)).batches
    differ = [
        index
        for a, b in zip(before, after, strict=True)
        for index, old, new in zip(a.indices, a.batch_digests, b.batch_digests, strict=True)
        if old != new
    ]
    assert differ == [6]
    assert [a.name == b.name for a, b in zip(before, after, strict=True)] == [True, False, True, True]
