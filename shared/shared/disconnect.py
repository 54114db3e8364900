"""Noticing that nobody waits any more, or that there is no time left, while work is done for a client."""

import asyncio
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, ClassVar, TypeVar

from starlette.types import Receive, Scope

from shared import drain
from shared.errors import DomainError, Stopping

T = TypeVar("T")

Forget = Callable[[], None]
OnLeave = Callable[[Callable[[], None]], Forget]
ON_LEAVE = "synapscale.on_leave"
"""Among a scope's extensions: an OnLeave. It calls back, from the event loop, when the client leaves (at once where
it has left), and returns what takes that back. Who offers it saves us a task per request."""


class ClientLeft(DomainError):
    """Nobody waits for the answer any more; the status is for the logs only."""

    status: ClassVar[int] = 499
    code, title = "client_left", "The client closed the connection"


async def client_leaves(receive: Receive) -> None:
    """Returns when the client has gone. The request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Leaving:
    """Callbacks of those who want to know that a client has left; an OnLeave."""

    __slots__ = ("_left", "_wait")

    def __init__(self) -> None:
        self._left = False
        self._wait: set[Callable[[], None]] = set()

    def __call__(self, callback: Callable[[], None]) -> Forget:
        self._wait.add(callback)
        if self._left:
            asyncio.get_running_loop().call_soon(self.happens)
        return lambda: self._wait.discard(callback)

    def happens(self) -> None:
        """Not to be called by a task that waits for it: it could not be cancelled."""
        self._left = True
        while self._wait:
            self._wait.pop()()


class WhileWanted:
    """Cancels the block, as asyncio.timeout does, where the client leaves or the process ends.

    Raises ClientLeft, or Stopping where `drained` is true. `leaving` notices a client that leaves on servers that do
    not offer ON_LEAVE; where there is nothing else, `receive` is read, so the request's body must have been.
    """

    __slots__ = ("_cancelling", "_drained", "_ended", "_forget", "_receive", "_scope", "_task", "leaving")

    def __init__(self, scope: Scope, receive: Receive, *, drained: bool = True) -> None:
        self._scope = scope
        self._receive = receive
        self._drained = drained
        self._ended: type[DomainError] | None = None
        self.leaving: Callable[[], Any] | None = None

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._cancelling = task.cancelling()
        offered: OnLeave | None = self._scope.get("extensions", _NONE).get(ON_LEAVE)
        self._forget: Forget = self._ask() if offered is None else offered(self._client_left)
        if self._drained:
            drain.cut_short(self._stopping)

    def _ask(self) -> Forget:
        def told(done: asyncio.Task[None]) -> None:
            if not done.cancelled() and done.exception() is None:
                self._client_left()

        def forget() -> None:
            asking.cancel()

        leaving = client_leaves(self._receive) if self.leaving is None else self.leaving()
        asking = asyncio.create_task(leaving)
        asking.add_done_callback(told)
        return forget

    def _client_left(self) -> None:
        self._end(ClientLeft)

    def _stopping(self) -> None:
        self._end(Stopping)

    def _end(self, reason: type[DomainError]) -> None:
        if self._ended is None:
            self._ended = reason
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget()
        if self._drained:
            drain.spare(self._stopping)
        if self._ended is not None and self._task.uncancel() <= self._cancelling and kind is CancelledError:
            raise self._ended from error


_NONE: dict[str, Any] = {}


async def unless_client_leaves(scope: Scope, receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`, cancelled where the client leaves (ClientLeft) or the process ends (Stopping) first."""
    with WhileWanted(scope, receive):
        return await work
