"""Reading ahead keeps the order and its distance, and passes errors on."""

import threading
import time
from collections.abc import Iterator

import pytest

from dsa_reid.read_ahead import read_ahead


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_keeps_the_order_and_the_number_ahead(workers: int, ahead: int) -> None:
    started: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            started.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    for item, result in enumerate(read_ahead(work, range(20), workers, ahead)):
        assert result == item * item
        assert len(started) <= item + ahead + 1


def test_an_error_is_raised_when_its_item_is_due() -> None:
    results = read_ahead(lambda item: 1 // item, [1, 0, 1], workers=1, ahead=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_an_error_of_the_items_is_raised_after_the_results_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("third")

    results = read_ahead(lambda item: 2 * item, items(), workers=2, ahead=5)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(KeyError, match="third"):
        next(results)


def test_no_items() -> None:
    assert list(read_ahead(lambda item: item, [], workers=1, ahead=2)) == []


def test_closing_cancels_the_remaining_items() -> None:
    started = []
    results = read_ahead(started.append, range(1000), workers=1, ahead=2)
    next(results)
    results.close()
    assert len(started) <= 3
