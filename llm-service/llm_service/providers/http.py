"""A provider that is asked over HTTP, whatever its dialect: bytes out, frames or a body in, failures told by kind."""

import math
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import Any, TypeVar

import httpx2
import msgspec

from llm_service.canonical.events import Ended, Event, Piece, TextDelta, UsageCounted
from llm_service.canonical.tokens import believable
from llm_service.dialects import Dialect
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, Incoming, Provider
from llm_service.providers.keys import ApiKey, Keys
from shared.http.calls import LIMITS, BrokenOff, Caller, HttpTransport, Reply, Unreachable, caller
from shared.http.frames import Frame, FrameReader, FrameTooLarge

LARGEST_ERROR = 64 * 1024
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of a whole answer."""
LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds that are believed of a Retry-After."""
MOST_PREPARED = 1000
NONSENSE = (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What reading raises where a provider's answer is none."""
S = TypeVar("S")
T = TypeVar("T")


class HttpProvider(Provider):
    """Speaks `dialect` at `base_url`. What one provider does otherwise stands in its own file."""

    dialect: Dialect

    def __init__(
        self, name: str, *, base_url: str, keys: Keys, models: tuple[str, ...], transport: HttpTransport = "asyncio"
    ) -> None:
        super().__init__(name, models=models, keys=keys)
        self._transport: HttpTransport = transport
        self.base_url = base_url.rstrip("/")
        self._prepared: dict[tuple[str, str | None], Any] = {}

    @cached_property
    def _http(self) -> httpx2.AsyncClient:
        """For questions that are no completions, and for the provider's SDK."""
        return httpx2.AsyncClient(base_url=self.base_url + "/", limits=LIMITS, follow_redirects=False)

    @cached_property
    def _caller(self) -> Caller:
        return caller(self.base_url, transport=self._transport, client=lambda: self._http)

    @abstractmethod
    def headers(self, key: ApiKey | None) -> dict[str, str]:
        """What proves who we are, and what else the provider wants to be told."""

    @abstractmethod
    def path(self, call: Call) -> str:
        """Where completions are asked for, below `base_url`."""

    def told_along(self, call: Call) -> dict[str, str]:
        """The client's own headers, where it speaks the provider's dialect and that has some."""
        return call.ingress.headers if call.ingress.dialect is self.dialect else {}

    def request_body(self, call: Call) -> Body:
        """Raises Unprocessable, NotExpressible."""
        return call.ingress.body_for(self.dialect, model=call.model, stream=call.stream, losses=call.losses)

    async def open(self, call: Call) -> Incoming:
        """See Provider.open. Read timeouts are the engine's: the socket itself waits as long as it is let."""
        body = msgspec.json.encode(self.request_body(call))
        try:
            reply = await self._caller.post(
                self._request(call), body, connect_timeout=call.connect_timeout, on_sent=call.on_sent
            )
        except Unreachable as error:
            raise ProviderError(Kind.UNREACHABLE, f"{self.name} cannot be reached.") from error
        except BrokenOff as error:
            raise self._broke_off() from error
        if reply.status == 200:
            return self._incoming(reply, stream=call.stream)
        try:
            raise await self._refusal(reply)
        finally:
            await reply.close()

    def _request(self, call: Call) -> Any:
        """The request but for its body."""
        path, along = self.path(call), self.told_along(call)
        name = (path, call.key.name if call.key else None)
        if along or (known := self._prepared.get(name)) is None:
            headers = {"content-type": "application/json", **self.headers(call.key), **along}
            try:
                known = self._caller.prepare(path, headers)
            except ValueError:
                raise self._unsayable_key() from None
            if not along and len(self._prepared) < MOST_PREPARED:
                self._prepared[name] = known
        return known

    def _incoming(self, reply: Reply, *, stream: bool) -> Incoming:
        return _Stream(self, reply) if stream else _Whole(self, reply)

    async def ask(
        self,
        path: str,
        *,
        key: ApiKey | None,
        timeout: float,
        kind: type[T],
        query: Mapping[str, str | int] | None = None,
        question: bytes | None = None,
    ) -> T:
        """What is at `path`, by GET or else as the answer to `question`. `timeout` in seconds. Raises ProviderError."""
        headers = {**self.headers(key), **({"content-type": "application/json"} if question is not None else {})}
        method = "GET" if question is None else "POST"
        with failures_told(self.name):
            try:
                request = self._http.build_request(
                    method, path, content=question, params=query, headers=headers, timeout=timeout
                )
            except ValueError:
                raise self._unsayable_key() from None
            answer = await self._http.send(request)
        if answer.status_code != 200:
            refusal = self.read(partial(self.dialect.parse_error, answer.status_code), answer.content)
            refusal.retry_after = refusal.retry_after or retry_after(answer.headers)
            raise refusal
        return self.read(msgspec.json.Decoder(kind).decode, answer.content)

    def _unsayable_key(self) -> ProviderError:
        return ProviderError(Kind.CREDENTIALS, f"A key of {self.name} has a character that no header may have.")

    async def close(self) -> None:
        for made in ("_caller", "_http"):
            match self.__dict__.get(made):
                case Caller() as calls:
                    await calls.close()
                case httpx2.AsyncClient() as client:
                    await client.aclose()

    async def received(self, reply: Reply, *, largest: int) -> bytes:
        """The body, or a little more than `largest` bytes of it. Raises ProviderError."""
        body = await self.piece_of(reply)
        if not (more := body and await self.piece_of(reply)):
            return body
        pieces, size = [body, more], len(body) + len(more)
        while size <= largest and (more := await self.piece_of(reply)):
            pieces.append(more)
            size += len(more)
        return b"".join(pieces)

    async def piece_of(self, reply: Reply) -> bytes:
        """What comes next; empty at the end. Raises ProviderError."""
        try:
            return await reply.read()
        except BrokenOff as error:
            raise self._broke_off() from error

    async def _refusal(self, reply: Reply) -> ProviderError:
        body = await self.received(reply, largest=LARGEST_ERROR)
        error = self.read(partial(self.dialect.parse_error, reply.status), body)
        error.retry_after = error.retry_after or retry_after(httpx2.Headers(reply.headers))
        return error

    def read(self, parse: Callable[[S], T], received: S) -> T:
        """A provider may send anything: what the dialect's own words for nonsense do not foresee is nonsense too."""
        try:
            return parse(received)
        except NONSENSE as error:
            raise self.nonsense() from error

    def nonsense(self) -> ProviderError:
        return ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent something that is no answer.")

    def _broke_off(self) -> ProviderError:
        return ProviderError(Kind.TRUNCATED, f"{self.name} broke its answer off.")


class _Whole(Incoming):
    def __init__(self, provider: HttpProvider, reply: Reply) -> None:
        self._provider = provider
        self._reply = reply
        self._is_read = False

    async def next(self) -> Piece | None:
        if self._is_read:
            return None
        provider = self._provider
        body = await provider.received(self._reply, largest=LARGEST_ANSWER)
        if len(body) > LARGEST_ANSWER:
            raise ProviderError(Kind.INVALID_ANSWER, f"{provider.name} sent more than an answer may have.")
        self._is_read = True
        return Piece(body, _believed(provider.read(provider.dialect.parse_answer, body)))

    async def close(self) -> None:
        await self._reply.close()


class _Stream(Incoming):
    """What arrives together is one piece, but for events that a client may not be meant to see."""

    def __init__(self, provider: HttpProvider, reply: Reply) -> None:
        self._provider = provider
        self._reply = reply
        self._parse = provider.dialect.stream_parser().read
        self._frames = FrameReader()
        self._pieces: deque[Piece] = deque()
        self._is_read = False
        self._is_checked = False
        self._failure: ProviderError | None = None
        """Of what came after the pieces that wait."""

    async def next(self) -> Piece | None:
        while not self._pieces:
            if self._failure is not None:
                raise self._failure
            if self._is_read:
                return None
            self._check()
            received = await self._provider.piece_of(self._reply)
            self._is_read = not received
            self._cut(received)
        return self._pieces.popleft()

    def _check(self) -> None:
        if self._is_checked:
            return
        self._is_checked = True
        kind = self._reply.header(b"content-type").partition(b";")[0].strip().lower().decode("latin-1")
        if kind != "text/event-stream":
            name = self._provider.name
            raise ProviderError(Kind.INVALID_ANSWER, f"{name} did not answer with events, but with {kind!r}.")

    def _cut(self, received: bytes) -> None:
        name = self._provider.name
        raws: list[bytes] = []
        events: list[Event] = []
        try:
            for frame in self._frames.feed(received) if received else self._frames.end():
                told = self._told(frame)
                if len(told) == 1 and not isinstance(told[0], TextDelta) and _stands_alone(told[0]):
                    self._add(raws, events)
                    raws, events = [], []
                    self._pieces.append(Piece(frame.raw, told))
                    continue
                raws.append(frame.raw)
                events += told
        except ProviderError as error:
            self._failure = error
        except FrameTooLarge:
            self._failure = ProviderError(Kind.INVALID_ANSWER, f"{name} sent an event without end.")
        except UnicodeDecodeError:
            self._failure = ProviderError(Kind.TRUNCATED, f"{name} broke its answer off.")
        self._add(raws, events)

    def _told(self, frame: Frame) -> tuple[Event, ...]:
        try:
            told = self._parse(frame)
        except NONSENSE as error:
            raise self._provider.nonsense() from error
        return told if len(told) == 1 and isinstance(told[0], TextDelta) else _believed(told)

    def _add(self, raws: list[bytes], events: list[Event]) -> None:
        if raws:
            self._pieces.append(Piece(raws[0] if len(raws) == 1 else b"".join(raws), tuple(events)))

    async def close(self) -> None:
        await self._reply.close()


def _stands_alone(event: Event) -> bool:
    return isinstance(event, Ended | UsageCounted)


def _believed(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Numbers of tokens that cannot be true are not told: an estimate takes their place."""
    for event in events:
        if isinstance(event, UsageCounted) and not believable(event.usage):
            return tuple(one for one in events if not isinstance(one, UsageCounted) or believable(one.usage))
    return events


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds, from `retry-after-ms` (OpenAI's) or `Retry-After` (RFC 9110 §10.2.3: seconds or a date)."""
    try:
        seconds = _retry_after(headers)
    except (ValueError, TypeError, OverflowError):
        return None
    if seconds is None or math.isnan(seconds):
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)


def _retry_after(headers: httpx2.Headers) -> float | None:
    if milliseconds := headers.get("retry-after-ms"):
        return float(milliseconds) / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    if value.isdigit():
        return float(value)
    return (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()


@contextmanager
def failures_told(name: str) -> Iterator[None]:
    """Turns what a connection can do wrong into ProviderError; `name` is the provider's."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise ProviderError(Kind.UNREACHABLE, f"{name} cannot be reached.") from error
    except httpx2.TimeoutException as error:
        raise ProviderError(Kind.TIMEOUT, f"{name} took too long.") from error
    except FrameTooLarge as error:
        raise ProviderError(Kind.INVALID_ANSWER, f"{name} sent an event without end.") from error
    except (httpx2.HTTPError, UnicodeDecodeError) as error:
        raise ProviderError(Kind.TRUNCATED, f"{name} broke its answer off.") from error
