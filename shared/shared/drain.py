"""The moment between SIGTERM and the end: work that outlives its request is told to finish or to mark itself.

A process drains once, so this is a fact of the process and lives in the module: `begin()` is called by
`shared.server` when the signal arrives, before uvicorn waits for open connections.
"""

import asyncio
from collections.abc import Callable

PATIENCE = 1.5
"""Seconds that running answers get to finish by themselves."""
LAST_WORD = 0.1
"""Seconds after that in which work that marks itself has done so; what is still open then is closed with an error."""

_listeners: set[Callable[[], None]] = set()


def begin() -> None:
    for listener in list(_listeners):
        listener()


async def patience_ends() -> None:
    """Returns when the process has begun to drain and running answers have had their time."""
    begun = asyncio.Event()
    forget = on_begin(begun.set)
    try:
        await begun.wait()
        await asyncio.sleep(PATIENCE + LAST_WORD)
    finally:
        forget()


def on_begin(listener: Callable[[], None]) -> Callable[[], None]:
    """Calls `listener` in the event loop when the process begins to drain; returns what takes it back."""
    loop = asyncio.get_running_loop()

    def call() -> None:
        loop.call_soon_threadsafe(listener)

    _listeners.add(call)
    return lambda: _listeners.discard(call)
