"""The page in a real browser: an image picked and one dropped, regions, filters, surfaces, export, a phone."""

import csv
import io
import json
from pathlib import Path

import pytest

from browser import PHONE, opened


@pytest.fixture(scope="module")
def shown(port):
    with opened() as browser:
        browser.goto(f"http://127.0.0.1:{port}/")
        browser.wait_for_selector("#title:not(:empty)")
        yield browser


def until(shown, expression):
    """Wait until an expression is true; playwright's own wait would need a policy that allows eval."""
    for _ in range(600):
        if shown.evaluate(expression):
            return
        shown.wait_for_timeout(100)
    raise AssertionError(f"never true: {expression}")


def finished(shown):
    """Wait for a ranking; return the images' numbers of its hits."""
    until(shown, "document.getElementById('status').textContent.includes('images')")
    sources = [one.get_attribute("src") for one in shown.locator("#hits img").all()]
    return [int(one.rsplit("/", 1)[1]) for one in sources]


def pick(shown):
    if not shown.locator("#picks button").first.is_visible():
        shown.click("#shelf summary")
    shown.locator("#picks button").first.click()


def test_an_image_is_picked_by_keyboard_and_ranked(shown, gallery):
    shown.focus("#shelf summary")
    shown.keyboard.press("Enter")
    shown.locator("#picks button").first.focus()
    shown.keyboard.press("Enter")
    assert sorted(finished(shown)) == [0, 1, 2, 3, 4, 5]
    signs = [one.inner_text() for one in shown.locator("#hits strong").all()]
    assert sum("✓ right" in one for one in signs) == 2
    assert sum("✗ wrong" in one for one in signs) == 4
    assert shown.locator("#named").inner_text() == gallery.images[6].key, "shown as text, whatever it holds"
    assert shown.faults == []


def test_filters_and_regions_rank_again(shown):
    pick(shown)
    finished(shown)
    shown.select_option("[name=camera]", "2")
    until(shown, "document.querySelectorAll('#hits li').length === 3")
    shown.select_option("[name=camera]", "")
    until(shown, "document.querySelectorAll('#hits li').length === 6")
    before = shown.locator("#hits div").first.inner_text()
    shown.check("[value=head]")
    until(shown, f"document.querySelector('#hits div').textContent !== {json.dumps(before)}")
    shown.uncheck("[value=head]")
    until(shown, f"document.querySelector('#hits div').textContent === {json.dumps(before)}")


def test_surfaces_stand_side_by_side(shown):
    pick(shown)
    finished(shown)
    shown.locator("#hits button").first.click()
    until(shown, "document.querySelectorAll('#bodies img').length === 4")
    words = [one.inner_text() for one in shown.locator("#bodies figcaption").all()]
    assert words == ["query", "image", "query, where both are visible", "image, where both are visible"]
    assert shown.evaluate("Array.from(document.querySelectorAll('#bodies img')).every(one => one.naturalWidth)")


def test_the_ranking_is_exported(shown):
    pick(shown)
    finished(shown)
    with shown.expect_download() as saved:
        shown.click("[data-format=csv]")
    lines = Path(saved.value.path()).read_text(encoding="utf-8").splitlines()
    assert saved.value.suggested_filename == "ranking.csv"
    assert (lines[0].split(",")[:2], len(lines)) == (["rank", "image"], 7)


def saved(shown, format_name):
    """Press an export button; return the file's text."""
    with shown.expect_download() as download:
        shown.click(f"[data-format={format_name}]")
    assert download.value.suggested_filename == f"ranking.{format_name}"
    return Path(download.value.path()).read_text(encoding="utf-8")


def distances(shown):
    return [float(one.inner_text().split(",")[0]) for one in shown.locator("#hits li > div:nth-of-type(1)").all()]


def test_exports_are_the_ranking_that_is_shown(shown, gallery):
    """With a camera, a number of images and two regions chosen; CSV and JSON have the same rows."""
    pick(shown)
    finished(shown)
    whole = distances(shown)
    shown.select_option("[name=camera]", "2")
    shown.fill("[name=top]", "2")
    shown.check("[value=head]")
    shown.check("[value=torso]")
    shown.locator("[value=torso]").blur()
    until(shown, "document.querySelectorAll('#hits li').length === 2")
    until(shown, f"document.querySelector('#hits div').textContent.split(',')[0] !== '{whole[0]:.3f}'")
    numbers, seen = finished(shown), distances(shown)
    rows = json.loads(saved(shown, "json"))
    assert [row["image"] for row in rows] == [gallery.images[number].key for number in numbers]
    assert [row["camid"] for row in rows] == [2, 2]
    assert [round(row["distance"], 3) for row in rows] == seen
    assert [row["probability"] for row in rows] == [None, None], "a distance by regions has no probability"
    asked = gallery.images[6]
    assert [row["correct"] for row in rows] == [row["pid"] == asked.pid for row in rows]
    table = list(csv.DictReader(io.StringIO(saved(shown, "csv"))))
    assert [
        {name: json.loads(value) if name in ("rank", "distance") else value for name, value in row.items()}
        for row in table
    ] == [
        {
            name: value if name in ("rank", "distance") else "" if value is None else str(value)
            for name, value in row.items()
        }
        for row in rows
    ]
    shown.select_option("[name=camera]", "")
    shown.fill("[name=top]", "20")
    shown.uncheck("[value=head]")
    shown.uncheck("[value=torso]")
    until(shown, "document.querySelectorAll('#hits li').length === 6")


def test_text_and_other_cameras_filter(shown, gallery):
    pick(shown)
    finished(shown)
    shown.fill("[name=text]", "3_c")
    shown.locator("[name=text]").blur()
    until(shown, "document.querySelectorAll('#hits li').length === 2")
    shown.check("[name=other]")
    until(shown, "document.querySelectorAll('#hits li').length === 1")
    assert gallery.images[finished(shown)[0]].camid == 2, "the query's camera is 1"
    shown.fill("[name=text]", "nothing has this name")
    shown.locator("[name=text]").blur()
    until(shown, "document.querySelectorAll('#hits li').length === 0")
    assert not shown.locator("#exports").is_visible()
    shown.fill("[name=text]", "")
    shown.uncheck("[name=other]")
    until(shown, "document.querySelectorAll('#hits li').length === 6")


def drop(shown, path):
    """Drop a file of this machine on the page as the browser does it, not by events of a script."""
    area = shown.locator("#drop")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    session = shown.context.new_cdp_session(shown)
    data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": box["x"] + box["width"] - 9, "y": box["y"] + 9}
        session.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
        if kind == "dragOver":
            until(shown, "document.getElementById('drop').classList.contains('over')")
    session.detach()


def test_an_image_is_dropped_ranked_and_exported(shown, gallery, tmp_path):
    image = tmp_path / "dropped <b>.png"
    image.write_bytes((gallery.root / gallery.images[4].key).read_bytes())
    address = shown.url
    drop(shown, image)
    until(shown, "document.querySelector('#hits img')?.getAttribute('src') === '/api/image/4'")
    assert shown.locator("#named").inner_text() == "dropped <b>.png"
    assert shown.locator("#query").evaluate("one => one.naturalWidth") > 0
    assert not shown.evaluate("document.getElementById('drop').classList.contains('over')")
    assert shown.url == address, "the browser does not open the file in place of the page"
    assert distances(shown)[0] < 0.001
    rows = json.loads(saved(shown, "json"))
    assert (rows[0]["image"], len(rows)) == (gallery.images[4].key, 6)
    assert {row["correct"] for row in rows} == {None}, "nobody knows whom an image from elsewhere shows"
    assert shown.faults == []


def test_a_file_is_chosen_and_a_broken_one_is_explained(shown, gallery, tmp_path):
    shown.set_input_files("#file", gallery.root / gallery.images[3].key)
    until(shown, "document.querySelector('#hits img')?.getAttribute('src') === '/api/image/3'")
    assert shown.locator("#hits button").count() == 0, "no map is known of an image from elsewhere"
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    shown.set_input_files("#file", broken)
    shown.wait_for_selector("#status.error")
    assert "does not decode as an image" in shown.locator("#status").inner_text()
    assert shown.locator("#hits li").count() == 0


def test_nothing_is_wider_than_a_phone(shown):
    pick(shown)
    finished(shown)
    shown.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    assert shown.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
