"""The report in a real browser: opened as a file, filtered by mouse and keyboard, on a wide and on a narrow screen."""

import pytest

from browser import PHONE, WIDE, opened


@pytest.fixture(scope="module")
def shown(page):
    """The report, opened from its file on a wide screen; requests for anything else are faults."""
    with opened(WIDE) as browser:
        browser.on(
            "request", lambda one: None if one.url.startswith(("file:", "data:")) else browser.faults.append(one.url)
        )
        browser.goto(page.as_uri())
        yield browser


def visible(shown):
    return shown.locator("article.query:visible").count()


def test_it_opens_from_a_file_without_a_fault(shown):
    assert shown.title().startswith("first, se<b>cond&\"'$x_1 on market1501")
    assert shown.faults == []
    assert shown.locator("#count").inner_text() == "4 of 4 queries shown"
    broken = "Array.from(document.images).filter(one => !one.naturalWidth).length"
    assert shown.evaluate(broken) == 0


def test_queries_are_filtered_and_shown_again(shown):
    first = [one.get_attribute("data-first") for one in shown.locator("article.query").all()]
    for answer in ("right", "wrong"):
        shown.select_option("[name=first]", answer)
        assert visible(shown) == first.count(answer)
    shown.click("button[type=reset]")
    shown.wait_for_function("document.getElementById('count').textContent.startsWith('4 of 4')")
    shown.fill("[name=text]", "onerror=alert(1)>&\"'3")
    assert visible(shown) == 1
    shown.fill("[name=text]", "")
    shown.select_option("[name=group]", "best")
    assert visible(shown) == 2
    shown.select_option("[name=group]", "")
    assert visible(shown) == 4


def test_the_keyboard_reaches_filters_rankings_and_details(shown):
    shown.reload()
    reached = []
    for _ in range(120):
        shown.keyboard.press("Tab")
        reached.append(shown.evaluate("document.activeElement.name || document.activeElement.tagName"))
        if reached[-1] == "SUMMARY" and "group" in reached:
            break
    assert reached[0] == "A", "the link that skips the navigation"
    assert {"text", "camera", "first", "group", "DIV", "SUMMARY"} <= set(reached)
    opened_before = shown.locator("article.query details[open]").count()
    shown.keyboard.press("Enter")
    assert shown.locator("article.query details[open]").count() == opened_before + 1


def test_nothing_is_wider_than_a_phone(shown):
    shown.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    shown.evaluate("document.querySelector('#numbers + p').append('train.network.main.trunk=' + 'x'.repeat(90))")
    try:
        assert shown.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        ranking = shown.locator(".scroll:has(> .ranking)").first
        assert ranking.evaluate("one => one.scrollWidth > one.clientWidth"), "a ranking scrolls by itself"
    finally:
        shown.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
