"""A provider that is asked over HTTP, whatever its dialect: bytes out, frames or a body in, failures told by kind."""

import math
from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TypeVar

import httpx2
import msgspec

from llm_service.canonical.events import Event, Piece, UsageCounted
from llm_service.canonical.tokens import believable
from llm_service.dialects import Dialect
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, Provider
from llm_service.providers.keys import ApiKey, Keys
from shared.http.frames import FrameReader, FrameTooLarge

LARGEST_ERROR = 64 * 1024
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of a whole answer."""
LONGEST_RETRY_AFTER = 24 * 3600.0
"""Seconds that are believed of a Retry-After."""
LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=200, keepalive_expiry=30)
JSON = {"content-type": "application/json"}
S = TypeVar("S")
T = TypeVar("T")


class HttpProvider(Provider):
    """Speaks `dialect` at `base_url`. What one provider does otherwise stands in its own file."""

    dialect: Dialect

    def __init__(self, name: str, *, base_url: str, keys: Keys, models: tuple[str, ...]) -> None:
        super().__init__(name, models=models, keys=keys)
        self.base_url = base_url.rstrip("/")
        self._http = httpx2.AsyncClient(base_url=self.base_url + "/", limits=LIMITS, follow_redirects=False)

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

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncGenerator[Piece]]:
        """See Provider.open. Read timeouts are the engine's: the socket itself waits as long as it is let."""
        body = msgspec.json.encode(self.request_body(call))
        length = {"content-length": str(len(body))}  # without it a body in pieces would be sent chunked
        sending = self._http.stream(
            "POST",
            self.path(call),
            content=_told(body, call.on_sent),
            headers={**length, **JSON, **self.headers(call.key), **self.told_along(call)},
            timeout=httpx2.Timeout(None, connect=call.connect_timeout, pool=call.connect_timeout),
        )
        with failures_told(self.name):
            async with sending as response:
                if response.status_code != 200:
                    raise await self._refusal(response)
                yield self._streamed(response) if call.stream else self._whole(response)

    async def close(self) -> None:
        await self._http.aclose()

    async def _streamed(self, response: httpx2.Response) -> AsyncGenerator[Piece]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} did not answer with events, but with {kind!r}.")
        parser, reader = self.dialect.stream_parser(), FrameReader()
        async for received in response.aiter_bytes():
            for frame in reader.feed(received):
                yield _piece(frame.raw, self._read(parser.read, frame))
        for frame in reader.end():
            yield _piece(frame.raw, self._read(parser.read, frame))

    async def _whole(self, response: httpx2.Response) -> AsyncGenerator[Piece]:
        body = await _received(response, largest=LARGEST_ANSWER)
        if len(body) > LARGEST_ANSWER:
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent more than an answer may have.")
        yield _piece(body, self._read(self.dialect.parse_answer, body))

    async def _refusal(self, response: httpx2.Response) -> ProviderError:
        body = await _received(response, largest=LARGEST_ERROR)
        error = self._read(partial(self.dialect.parse_error, response.status_code), body)
        error.retry_after = error.retry_after or retry_after(response.headers)
        return error

    def _read(self, parse: Callable[[S], T], received: S) -> T:
        """A provider may send anything: what the dialect's own words for nonsense do not foresee is nonsense too."""
        try:
            return parse(received)
        except (LookupError, AttributeError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent something that is no answer.") from error


def _piece(raw: bytes, events: tuple[Event, ...]) -> Piece:
    """Numbers of tokens that cannot be true are not told: an estimate takes their place."""
    return Piece(raw, tuple(one for one in events if not isinstance(one, UsageCounted) or believable(one.usage)))


async def _told(body: bytes, on_sent: Callable[[], None]) -> AsyncIterator[bytes]:
    """It is taken up again when the connection has taken the body."""
    yield body
    on_sent()


async def _received(response: httpx2.Response, *, largest: int) -> bytes:
    """The body, or a little more than `largest` bytes of it."""
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > largest:
            break
    return bytes(body)


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
