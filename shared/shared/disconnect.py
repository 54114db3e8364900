"""Noticing that nobody waits any more, or that there is no time left, while work is done for a client."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

from starlette.types import Receive

from shared import drain
from shared.errors import DomainError, Stopping

T = TypeVar("T")


class ClientLeft(DomainError):
    """Nobody waits for the answer any more; the status is for the logs only."""

    status: ClassVar[int] = 499
    code, title = "client_left", "The client closed the connection"


async def client_leaves(receive: Receive) -> None:
    """Returns when the client has gone. The request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, cancelled where the client leaves (ClientLeft) or the process ends (Stopping) first."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(client_leaves(receive))
    stopping = asyncio.create_task(drain.patience_ends())
    tasks = (working, leaving, stopping)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft if leaving.done() else Stopping
        return working.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
