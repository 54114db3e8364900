"""The circuit breaker, on a clock of the test's."""

import pytest

from llm_service.routing import breaker as module
from llm_service.routing.breaker import FAILURES, JITTER, LONGEST_PAUSE, SHORTEST_PAUSE, WINDOW, Breaker


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def go(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        assert breaker.allows()
        breaker.failed()
    return breaker


def test_it_opens_at_enough_failures(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.allows()
    breaker.failed()
    assert breaker.state == "open"
    assert not breaker.allows()
    assert SHORTEST_PAUSE * (1 - JITTER) <= breaker.opens_in <= SHORTEST_PAUSE * (1 + JITTER)


def test_failures_among_more_successes_leave_it_closed(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(FAILURES * 3):
        breaker.succeeded()
        breaker.succeeded()
        breaker.failed()
    assert breaker.state == "closed"


def test_failures_of_long_ago_are_forgotten(clock: Clock) -> None:
    breaker = Breaker()
    for _ in range(FAILURES * 3):
        breaker.failed()
        clock.go(WINDOW / (FAILURES - 1) + 1)
    assert breaker.state == "closed"


def test_one_probe_passes_when_the_pause_is_over(clock: Clock) -> None:
    breaker = opened()
    clock.go(SHORTEST_PAUSE * (1 + JITTER))
    assert breaker.state == "half_open"
    assert breaker.allows()
    assert not breaker.allows()
    breaker.succeeded()
    assert breaker.opens_in == 0
    assert breaker.allows()
    assert breaker.allows()


def test_each_failed_probe_doubles_the_pause_up_to_a_limit(clock: Clock) -> None:
    breaker, pauses = opened(), []
    for _ in range(8):
        clock.go(breaker.opens_in)
        assert breaker.allows()
        breaker.failed()
        pauses.append(breaker.opens_in)
    assert SHORTEST_PAUSE * 2 * (1 - JITTER) <= pauses[0] <= SHORTEST_PAUSE * 2 * (1 + JITTER)
    assert LONGEST_PAUSE * (1 - JITTER) <= pauses[-1] <= LONGEST_PAUSE * (1 + JITTER)


def test_a_probe_that_tells_nothing_lets_the_next_pass(clock: Clock) -> None:
    breaker = opened()
    clock.go(LONGEST_PAUSE)
    assert breaker.allows()
    breaker.told_nothing()
    assert breaker.allows()


def test_one_success_after_a_pause_forgets_the_failures_before(clock: Clock) -> None:
    breaker = opened()
    clock.go(SHORTEST_PAUSE * (1 + JITTER))
    assert breaker.allows()
    breaker.succeeded()
    for _ in range(FAILURES - 1):
        breaker.failed()
    assert breaker.state == "closed"


def test_a_late_failure_of_before_does_not_lengthen_the_pause(clock: Clock) -> None:
    breaker = opened()
    pause = breaker.opens_in
    breaker.failed()
    assert breaker.opens_in == pause
