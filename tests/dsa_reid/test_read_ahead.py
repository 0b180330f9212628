"""Reading ahead keeps the order and its distance, and passes errors on."""

import threading
import time

import pytest

from dsa_reid.read_ahead import read_ahead


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_keeps_the_order_and_its_distance(workers: int, ahead: int) -> None:
    started: list[int] = []
    lock = threading.Lock()

    def work(item: int) -> int:
        with lock:
            started.append(item)
        time.sleep(0.002 * (item % 3))
        return item * item

    for place, result in enumerate(read_ahead(work, range(20), workers, ahead)):
        assert result == place * place
        assert len(started) <= place + ahead + 1


def test_passes_errors_on_in_their_turn() -> None:
    results = read_ahead(lambda item: 1 // item, [1, 0, 1], workers=1, ahead=2)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_to_read() -> None:
    assert list(read_ahead(lambda item: item, [], workers=1, ahead=2)) == []


def test_closed_early_it_starts_no_more() -> None:
    started = []
    results = read_ahead(started.append, range(1000), workers=1, ahead=2)
    next(results)
    results.close()
    assert len(started) <= 3
