"""The moment between SIGTERM and the end: work that outlives its request is told to finish or to mark itself.

A process drains once, so this is a fact of the process and lives in the module: `begin()` is called by
`shared.server` when the signal arrives, before uvicorn waits for open connections.
"""

import asyncio
from collections.abc import Callable

PATIENCE = 2.5
"""Seconds that running answers get to finish by themselves."""

_listeners: set[Callable[[], None]] = set()


def begin() -> None:
    for listener in list(_listeners):
        listener()


def on_begin(listener: Callable[[], None]) -> Callable[[], None]:
    """Calls `listener` in the event loop when the process begins to drain; returns what takes it back."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(listener)

    _listeners.add(call)
    return lambda: _listeners.discard(call)
