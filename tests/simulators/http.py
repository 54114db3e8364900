"""A provider on loopback that can misbehave: the server of every simulator, whatever it speaks."""

import asyncio
import socket
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import ClassVar, Self

import h11

from tests.simulators import control
from tests.simulators.answers import Answer, says
from tests.simulators.connection import Connection, RecordedRequest
from tests.simulators.faults import NAMED, Fault, parse_fault
from tests.simulators.replies import Close, End, Head, Pause, Piece, Reply, Reset, Stall, Step, script

SLOW_PACE = 0.2
"""Seconds before each piece of content of a model named `…-slow`."""
PATIENCE = 10.0
"""Seconds that a test waits for something to happen before it fails."""


class Gate:
    """Holds answers after `after` pieces of content (a document before its headers) until `release()`."""

    def __init__(self, after: int) -> None:
        self.after = after
        self.reached = asyncio.Event()
        """Set when the first answer stands here."""
        self.opened = asyncio.Event()
        self.held = 0
        """Answers that stand here now."""

    def release(self) -> None:
        self.opened.set()

    async def wait_until_reached(self) -> None:
        """Raises TimeoutError if no answer comes this far."""
        async with asyncio.timeout(PATIENCE):
            await self.reached.wait()

    async def hold(self, request: RecordedRequest) -> None:
        self.held += 1
        self.reached.set()
        request.held.set()
        try:
            await self.opened.wait()
        finally:
            self.held -= 1


class Simulator(ABC):
    """`async with OpenAISimulator() as sim:` serves at `sim.base_url` until the block ends.

    An error in a simulator itself is raised when the block ends.
    """

    title: ClassVar[str]
    base_path: ClassVar[str]
    default_key: ClassVar[str]

    def __init__(
        self, *, api_key: str | None = None, port: int = 0, pace: float = 0.0, list_faults: bool = False
    ) -> None:
        self.api_key = api_key or self.default_key
        self.port = port
        self.pace = pace
        """Seconds before each piece of content."""
        self.list_faults = list_faults
        """Whether the models `fault-…` and `…-slow` are listed among the others; they answer anyway."""
        self.requests: list[RecordedRequest] = []
        self.faults: deque[Fault] = deque()
        """The next request that one befalls takes it."""
        self.answers: deque[Answer] = deque()
        """The next questions get these, in their order, whatever they ask; those after them what `answers` says."""
        self.connections = 0
        """Connections accepted so far."""
        self.gate: Gate | None = None
        self._numbers = count(1)
        self._arrival = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    @abstractmethod
    def model_of(self, request: RecordedRequest) -> str:
        """The model that `request` names, empty if it names none."""

    @abstractmethod
    def reply(self, request: RecordedRequest, fault: Fault | None) -> Reply:
        """The answer, spoiled by `fault` where that is a matter of words; the wire's faults are not its concern."""

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self.refuse()
        if error is None and self._failures:
            raise self._failures[0]

    @property
    def root_url(self) -> str:
        """Under which `/__control` and `/__requests` are."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return self.root_url + self.base_path

    async def listen(self) -> None:
        """Accepts connections; after `refuse()` on the same port as before."""
        assert self._server is None, "it listens already"
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Closes the port and every connection: from now on connecting is refused, until `listen()`."""
        if self._server is None:
            return
        self._server.close()
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    def will_answer(self, *answers: Answer | str) -> None:
        """Scripts the answers to the next questions; a text is an answer that says it."""
        self.answers += [says(answer) if isinstance(answer, str) else answer for answer in answers]

    def will_fail(self, *faults: Fault | str) -> None:
        """Scripts what goes wrong with the next requests, each fault with one of them: a name of NAMED, or a Fault."""
        self.faults += [parse_fault(fault) if isinstance(fault, str) else fault for fault in faults]

    def hold(self, *, after: int) -> Gate:
        """Holds every answer from now on after `after` pieces of content, until the gate is released."""
        self.gate = Gate(after)
        return self.gate

    async def wait_for_request(self, number: int = 1) -> RecordedRequest:
        """The `number`th request, from 1; raises TimeoutError if it does not come."""
        async with asyncio.timeout(PATIENCE), self._arrival:
            await self._arrival.wait_for(lambda: len(self.requests) >= number)
        return self.requests[number - 1]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = Connection(reader, writer, number=self.connections)
        task = asyncio.create_task(self._serve(connection))
        self._serving.add(task)
        task.add_done_callback(partial(self._served, connection))

    def _served(self, connection: Connection, task: asyncio.Task[None]) -> None:
        connection.abort()  # a task that is cancelled before its first step closes nothing
        self._serving.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failures.append(error)
            context = {"message": f"the {self.title} simulator failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def _serve(self, connection: Connection) -> None:
        try:
            with suppress(ConnectionError):  # the client left; who cares has `disconnected`
                await self._converse(connection)
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            await connection.close()

    async def _converse(self, connection: Connection) -> None:
        try:
            while request := await connection.next_request():
                await self._answer(request, connection)
        except h11.RemoteProtocolError as error:
            await connection.send_head(Head(error.error_status_hint, {"connection": "close"}, 0))

    async def _answer(self, request: RecordedRequest, connection: Connection) -> None:
        if request.path.startswith("/__"):
            await self._perform(script(control.answer(self, request)), request, connection, pace=0.0, gate=None)
            return
        async with self._arrival:
            request.number = next(self._numbers)
            self.requests.append(request)
            self._arrival.notify_all()
        fault = self._take_fault(request)
        steps = script(self.reply(request, fault), fault)
        pace = SLOW_PACE if self.model_of(request).endswith("-slow") else self.pace
        answer = self._perform(steps, request, connection, pace=pace, gate=self.gate)
        await _unless_gone(answer, request, connection)

    def _take_fault(self, request: RecordedRequest) -> Fault | None:
        for fault in self.faults:
            if fault.befalls(method=request.method, path=request.path):
                self.faults.remove(fault)
                return fault
        model = self.model_of(request)
        return NAMED.get(model.removeprefix("fault-")) if model.startswith("fault-") else None

    async def _perform(
        self, steps: list[Step], request: RecordedRequest, connection: Connection, *, pace: float, gate: Gate | None
    ) -> None:
        for step in steps:
            if gate and not gate.opened.is_set() and _comes_after(gate, step, request):
                await gate.hold(request)
            match step:
                case Head():
                    await connection.send_head(step)
                case Piece():
                    if step.content:
                        await asyncio.sleep(pace)
                    await connection.send_body(step.body)
                    request.sent += step.content
                case Pause():
                    await asyncio.sleep(step.seconds)
                case Stall():
                    request.held.set()
                    await asyncio.Event().wait()
                case End():
                    request.answered.set()
                    await connection.send_end()
                case Close():
                    await connection.close()
                case Reset():
                    connection.reset()


def _comes_after(gate: Gate, step: Step, request: RecordedRequest) -> bool:
    if isinstance(step, Head):
        return step.length is not None
    opening = request.sent == 0 and not (isinstance(step, Piece) and step.content)
    return request.sent >= gate.after and not opening


async def _unless_gone(answer: Coroutine[None, None, None], request: RecordedRequest, connection: Connection) -> None:
    """Performs `answer` until it is done or the client has gone."""
    performing = asyncio.ensure_future(answer)
    leaving = asyncio.ensure_future(connection.gone.wait())
    try:
        await asyncio.wait({performing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        left = not performing.done()
    finally:
        leaving.cancel()
        performing.cancel()
        result, _ = await asyncio.gather(performing, leaving, return_exceptions=True)
    if left or isinstance(result, ConnectionError):
        request.leave()
    elif isinstance(result, Exception):
        raise result


@contextmanager
def nothing_listens(base_path: str = "/v1") -> Iterator[str]:
    """A base URL at which connecting is refused while the block lasts: its port is bound, so that nobody gets it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}{base_path}"
