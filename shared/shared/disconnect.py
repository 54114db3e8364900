"""Noticing that a client has left while work is done for it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar

from starlette.types import Receive

from shared.errors import DomainError

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
    """The result of `work`; where the client leaves first, `work` is cancelled and ClientLeft raised."""
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(client_leaves(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
