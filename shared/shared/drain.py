"""The moment between SIGTERM and the end: work that outlives its request is told to finish or to mark itself.

A process drains once, so this is a fact of the process and lives in the module: `begin()` is called by
`shared.server` when the signal arrives, before uvicorn waits for open connections.
"""

import asyncio
from collections.abc import Callable

PATIENCE = 1.5
"""Seconds that running answers get to finish by themselves."""
LAST_WORD = 0.25
"""Seconds after that in which work that marks itself has done so; what is still open then is closed with an error."""

_listeners: set[Callable[[], None]] = set()
_running: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}


def begin() -> None:
    for listener in list(_listeners):
        listener()
    for loop in set(_running.values()):
        loop.call_soon_threadsafe(loop.call_later, PATIENCE + LAST_WORD, _patience_ends, loop)


def cut_short(end: Callable[[], None]) -> None:
    """Calls `end` in this event loop when the process drains and running answers have had their time; see `spare`."""
    _running[end] = asyncio.get_running_loop()


def spare(end: Callable[[], None]) -> None:
    """Takes `cut_short` back."""
    _running.pop(end, None)


def _patience_ends(loop: asyncio.AbstractEventLoop) -> None:
    for end in [end for end, its_loop in _running.items() if its_loop is loop]:
        end()


def on_begin(listener: Callable[[], None]) -> Callable[[], None]:
    """Calls `listener` in the event loop when the process begins to drain; returns what takes it back."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(listener)

    _listeners.add(call)
    return lambda: _listeners.discard(call)
