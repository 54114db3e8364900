"""A provider that is asked over HTTP, whatever its dialect: bytes out, frames or a body in, failures told by kind."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
import msgspec

from llm_service.canonical.events import Piece
from llm_service.dialects import Dialect
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, Provider
from llm_service.providers.keys import ApiKey, Keys
from shared.http.frames import FrameReader, FrameTooLarge

LARGEST_ERROR = 64 * 1024
LARGEST_ANSWER = 64 * 1024 * 1024
"""Bytes of a whole answer."""
LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=200, keepalive_expiry=30)


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
        sending = self._http.stream(
            "POST",
            self.path(call),
            content=msgspec.json.encode(self.request_body(call)),
            headers={"content-type": "application/json", **self.headers(call.key), **self.told_along(call)},
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
                yield Piece(frame.raw, parser.read(frame))
        for frame in reader.end():
            yield Piece(frame.raw, parser.read(frame))

    async def _whole(self, response: httpx2.Response) -> AsyncGenerator[Piece]:
        body = await _read(response, largest=LARGEST_ANSWER)
        if len(body) > LARGEST_ANSWER:
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent more than an answer may have.")
        yield Piece(body, self.dialect.parse_answer(body))

    async def _refusal(self, response: httpx2.Response) -> ProviderError:
        error = self.dialect.parse_error(response.status_code, await _read(response, largest=LARGEST_ERROR))
        error.retry_after = error.retry_after or retry_after(response.headers)
        return error


async def _read(response: httpx2.Response, *, largest: int) -> bytes:
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
        if milliseconds := headers.get("retry-after-ms"):
            return float(milliseconds) / 1000
        value = headers.get("retry-after")
        if value is None:
            return None
        if value.isdigit():
            return float(value)
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None


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
