"""The page in a real browser: an image picked and one dropped, regions, filters, surfaces, export, a phone."""

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
    assert shown.locator("#named").inner_text() == gallery.pictures[6].key, "shown as text, whatever it holds"
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


def test_a_file_is_chosen_and_a_broken_one_is_explained(shown, gallery, tmp_path):
    shown.set_input_files("#file", gallery.root / gallery.pictures[3].key)
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
