"""A circuit breaker for each target: after failures it is left alone for a while, then asked by one request first."""

import random
import time
from collections import deque
from typing import Literal

State = Literal["closed", "open", "half_open"]

FAILURES = 5
WINDOW = 30.0
"""Seconds. The circuit opens at FAILURES within them, if they are half of all attempts or more."""
SHORTEST_PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds for which it stays open; each failed probe doubles them."""
JITTER = 0.2
"""Share by which pauses differ, so that replicas do not probe together."""


class Breaker:
    """Every process judges by its own attempts. Who is let through by `allows` ends with one of the other three."""

    def __init__(self) -> None:
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=200)
        self._pause = SHORTEST_PAUSE
        self._open_until: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if self._open_until > time.monotonic() else "half_open"

    @property
    def opens_in(self) -> float:
        """Seconds until a probe may pass; 0 where requests pass."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - time.monotonic())

    def allows(self) -> bool:
        """Whether a request may pass now; half open, one at a time may."""
        if self._open_until is None:
            return True
        if self._probing or self._open_until > time.monotonic():
            return False
        self._probing = True
        return True

    def succeeded(self) -> None:
        if self._open_until is not None:
            self._outcomes.clear()
        self._probing, self._open_until, self._pause = False, None, SHORTEST_PAUSE
        self._outcomes.append((time.monotonic(), True))

    def failed(self) -> None:
        now = time.monotonic()
        self._outcomes.append((now, False))
        if self._open_until is not None:
            if self._probing:
                self._open(min(self._pause * 2, LONGEST_PAUSE))
            return
        while self._outcomes and self._outcomes[0][0] < now - WINDOW:
            self._outcomes.popleft()
        failures = sum(not good for _, good in self._outcomes)
        if failures >= FAILURES and failures * 2 >= len(self._outcomes):
            self._open(SHORTEST_PAUSE)

    def told_nothing(self) -> None:
        """The attempt ended without telling anything of the target: its client left, or the request was wrong."""
        self._probing = False

    def _open(self, pause: float) -> None:
        self._pause, self._probing = pause, False
        self._open_until = time.monotonic() + pause * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 # jitter
