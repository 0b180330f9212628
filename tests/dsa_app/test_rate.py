"""The rate of work, and the time left that progress lines print: of the last half minute, not of the start."""

import pytest

from dsa_app import console
from dsa_app.rate import Rate


class Clock:
    """A clock that only moves when it is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return clock


def test_unknown_until_there_are_two_reports(clock: Clock) -> None:
    rate = Rate()
    assert rate.per_second is None
    rate.report(5)
    assert rate.per_second is None
    rate.report(9)
    assert rate.per_second is None  # at the same moment
    clock.now = 2
    rate.report(9)
    assert rate.per_second == 2


def test_only_the_last_half_minute_counts(clock: Clock) -> None:
    rate = Rate()
    for seconds in range(0, 100, 10):  # one unit in 10 s
        clock.now = seconds
        rate.report(seconds // 10)
    for seconds in range(100, 131, 10):  # then 100 units in 10 s
        clock.now = seconds
        rate.report(9 + 100 * (seconds - 90) // 10)
    assert rate.per_second == 10


def test_a_slow_start_does_not_spoil_the_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    """What was seen: "1868 s left" before a run that took 25 more seconds."""
    seconds_of = [60.0, *[0.25] * 99]  # a network is loaded and workers start before the first is done
    items = iter(range(100))
    for index in console.progress(items, 100, "extracting"):
        clock.now += seconds_of[index]
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["extracting: 1/100 images", "extracting: 41/100 images, 4 a second, 15 s left"]
