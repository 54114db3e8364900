"""Access lines: what a request was and became, written in batches, as a logger would write them one by one."""

import atexit
import json
import logging
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, TextIO

FLUSH_AFTER = 0.1
"""Seconds that a line may wait for others."""
FLUSH_AT = 64 * 1024
"""Characters that wait at most, about."""
USUAL_LINE = 256
"""Characters of a line without its path, about."""

_logger = logging.getLogger("access")


class Access(NamedTuple):
    """One request; `moment` is in seconds since the epoch, when it was answered."""

    request_id: str
    service: str
    method: str
    path: str
    status: int
    ms: float
    moment: float


Format = Callable[[Access], str]


_second, _second_text = 0, ""


def timestamp(moment: float) -> str:
    """As `datetime.isoformat` in UTC with microseconds, ending in Z."""
    global _second, _second_text
    second = int(moment)
    if second != _second:
        _second, _second_text = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{_second_text}.{int((moment - second) * 1_000_000):06d}Z"


def as_json(access: Access) -> str:
    """The fields of any other line of ours, in their order."""
    request_id, service, method, path, status, ms, moment = access
    return (
        f'{{"request_id": "{request_id}", "service": "{service}", "method": {quoted(method)}, "path": {quoted(path)}, '
        f'"status": {status}, "ms": {ms}, "event": "request", "level": "info", "logger": "access", '
        f'"timestamp": "{timestamp(moment)}"}}'
    )


@lru_cache(maxsize=256)
def quoted(text: str) -> str:
    """As a JSON string in which nothing can end the line or drive a terminal."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return json.dumps(text)  # in ASCII


class AccessLog:
    """Lines for a stream that are written together, within FLUSH_AFTER; what is left when the process ends, then."""

    def __init__(self) -> None:
        self.wanted = False
        self._format: Format = as_json
        self._stream: TextIO | None = None
        self._waiting: list[Access] = []
        self._size = 0
        self._loop: AbstractEventLoop | None = None

    def configure(self, stream: TextIO, *, line: Format) -> None:
        """To be called once the levels of loggers are set."""
        self.flush()
        self._stream, self._format = stream, line
        self.wanted = _logger.isEnabledFor(logging.INFO)

    def add(self, access: Access) -> None:
        """To be called in an event loop."""
        loop = get_running_loop()
        if not self._waiting or loop is not self._loop:  # a loop that has ended will not flush
            self._loop = loop
            loop.call_later(FLUSH_AFTER, self.flush)
        self._waiting.append(access)
        self._size += USUAL_LINE + len(access.path)
        if self._size >= FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        if not self._waiting or self._stream is None:
            return
        text = "\n".join([*map(self._format, self._waiting), ""])
        self._waiting.clear()
        self._size = 0
        if not self._stream.closed:
            self._stream.write(text)
            self._stream.flush()


access_log = AccessLog()
atexit.register(access_log.flush)
