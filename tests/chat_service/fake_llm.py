"""A stand-in for llm-service that says what the test tells it to, when the test lets it."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response

from shared.errors import DomainError
from shared.events import Delta, Done, Failed, Start, StreamEvent, UsageReport, encode_event
from shared.sse import EventStream

USAGE = {"input_tokens": 7, "output_tokens": 3, "total_tokens": 10}


class Gate:
    """A step of a script: the answer goes on when the test opens it."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    def open(self) -> None:
        self.opened.set()


class Cut:
    """A step of a script: the connection breaks."""


class Pause:
    """A step of a script: the model thinks for so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


Step = StreamEvent | Gate | Cut | Pause | bytes
Script = Sequence[Step] | Response


def start(model: str = "gpt-4", provider: str = "fake") -> Start:
    return Start(id="cmpl_1", model=model, provider=provider)


def done(**fields: Any) -> Done:
    return Done(**{"model": "gpt-4", "provider": "fake", "usage": USAGE, "cost_usd": "0.00012"} | fields)


def answer(*texts: str) -> list[Step]:
    """A whole answer, said in these pieces."""
    return [start(), *(Delta(content=text) for text in texts), UsageReport(usage=USAGE), done()]


def failed(detail: str, *, code: str, status: int) -> Failed:
    return Failed(code=code, detail=detail, status=status)


class FakeLlm:
    """Answers each request with the next script, or as `script_for` says; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.scripts: deque[Script] = deque()
        self.readers_gone = 0
        self.script_for: Callable[[dict[str, Any]], Script] = lambda _: answer("ok")
        """What a request is answered for which no script waits."""
        self.app = FastAPI()
        self.app.add_api_route("/api/llm/chat/completions", self._complete, methods=["POST"])

    def will(self, *scripts: Script) -> None:
        self.scripts.extend(scripts)

    async def _complete(self, request: Request) -> Response:
        self.requests.append(await request.json())
        self.headers.append(dict(request.headers))
        script = self.scripts.popleft() if self.scripts else self.script_for(self.requests[-1])
        if isinstance(script, Response):
            return script
        return EventStream(self._stream(script), on_error=_none)

    async def _stream(self, script: Sequence[Step]) -> AsyncGenerator[bytes]:
        try:
            for sequence, step in enumerate(script, start=1):
                match step:
                    case Gate():
                        step.reached.set()
                        await step.opened.wait()
                    case Pause():
                        await asyncio.sleep(step.seconds)
                    case Cut():
                        raise ConnectionResetError("the provider broke off")
                    case bytes():
                        yield step
                    case _:
                        yield encode_event(step, sequence=sequence)
        except (asyncio.CancelledError, GeneratorExit):
            self.readers_gone += 1
            raise


def _none(problem: DomainError) -> bytes:
    raise AssertionError("scripts raise no domain errors") from problem
