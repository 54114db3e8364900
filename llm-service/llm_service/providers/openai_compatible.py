"""Any server that speaks OpenAI's Chat Completions: Ollama, vLLM, LM Studio, llama.cpp and many hosted ones."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
import msgspec

from llm_service.canonical.events import Piece
from llm_service.dialects import OPENAI
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, ListsModels, Provider

LARGEST_EVENT = 32 * 1024 * 1024
"""Bytes of one streamed event (an image in base64 fits)."""
LARGEST_ERROR = 64 * 1024
LIMITS = httpx2.Limits(max_connections=2000, max_keepalive_connections=200, keepalive_expiry=30)


class OpenAICompatibleProvider(Provider, ListsModels):
    """Speaks the `openai` dialect at `base_url`; `api_key` is optional, as on most local servers."""

    dialect = OPENAI

    def __init__(self, name: str, *, base_url: str, api_key: str | None, models: tuple[str, ...]) -> None:
        super().__init__(name, models=models)
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx2.AsyncClient(
            base_url=base_url.rstrip("/") + "/", headers=headers, limits=LIMITS, follow_redirects=False
        )

    def request_body(self, call: Call) -> Body:
        """Older servers know `max_tokens` only, so what we translate is said in both words' common one."""
        body = call.ingress.body_for(OPENAI, model=call.model, stream=call.stream)
        if call.ingress.dialect is not OPENAI and "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        return body

    @asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[AsyncGenerator[Piece]]:
        """See Provider.open. Read timeouts are the engine's: the socket itself waits as long as it is let."""
        sending = self._http.stream(
            "POST",
            "chat/completions",
            content=msgspec.json.encode(self.request_body(call)),
            headers={"content-type": "application/json"},
            timeout=httpx2.Timeout(None, connect=call.connect_timeout, pool=call.connect_timeout),
        )
        with _failures_told(self.name):
            async with sending as response:
                if response.status_code != 200:
                    raise await _refusal(response)
                yield _streamed(response) if call.stream else _whole(response)

    async def list_models(self) -> tuple[str, ...]:
        with _failures_told(self.name):
            response = await self._http.get("models", timeout=3)
            if response.status_code != 200:
                raise OPENAI.parse_error(response.status_code, response.content)
        try:
            return tuple(str(model["id"]) for model in response.json()["data"])
        except (ValueError, KeyError, TypeError):
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} does not list its models.") from None

    async def close(self) -> None:
        await self._http.aclose()


async def _streamed(response: httpx2.Response) -> AsyncGenerator[Piece]:
    parser = OPENAI.stream_parser()
    async for frame in httpx2.EventSource(response, max_event_size=LARGEST_EVENT):
        if frame.data:
            yield Piece(frame.data.encode(), parser.read(frame.data))


async def _whole(response: httpx2.Response) -> AsyncGenerator[Piece]:
    body = await response.aread()
    yield Piece(body, OPENAI.parse_answer(body))


async def _refusal(response: httpx2.Response) -> ProviderError:
    body = b""
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > LARGEST_ERROR:
            break
    error = OPENAI.parse_error(response.status_code, body)
    error.retry_after = _retry_after(response.headers)
    return error


def _retry_after(headers: httpx2.Headers) -> float | None:
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
def _failures_told(name: str) -> Iterator[None]:
    """Turns what a connection can do wrong into ProviderError."""
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        raise ProviderError(Kind.UNREACHABLE, f"{name} cannot be reached.") from error
    except httpx2.TimeoutException as error:
        raise ProviderError(Kind.TIMEOUT, f"{name} took too long.") from error
    except httpx2.SSEError as error:
        raise ProviderError(Kind.INVALID_ANSWER, f"{name} did not answer with events: {error}") from error
    except (httpx2.HTTPError, UnicodeDecodeError) as error:
        raise ProviderError(Kind.TRUNCATED, f"{name} broke its answer off.") from error
