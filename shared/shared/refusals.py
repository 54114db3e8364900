"""What a connection is refused before there is a request that the app could count and log."""

import time
from collections.abc import Callable

import structlog

log = structlog.get_logger("access")

COUNTER = "count_refusal"
"""In the state of an app's lifespan: a function that takes the reason of each refusal."""
REASONS = (
    "malformed_request",
    "request_timeout",
    "uri_too_long",
    "headers_too_large",
    "too_many_connections",
    "answer_not_read",
)
LINES = 20
WINDOW = 10.0
"""Seconds in which at most LINES are logged, so that nobody fills a disk with bad requests."""


class Refusals:
    """Those of one server: all are counted, and each is logged, as long as they are few."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._lines = 0

    def tell(self, reason: str, *, count: Callable[[str], None] | None, **facts: str | int | None) -> None:
        if count is not None:
            count(reason)
        now = self._clock()
        if now - self._since >= WINDOW:
            self._since, self._lines = now, 0
        self._lines += 1
        if self._lines <= LINES:
            log.info("request refused", reason=reason, **facts)
        elif self._lines == LINES + 1:
            log.warning("further refusals are counted, not logged", for_seconds=round(WINDOW - (now - self._since), 1))
