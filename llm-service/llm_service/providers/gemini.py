"""Google's Gemini API with a key (https://ai.google.dev/api). Its base URL ends with the version of the API."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
import msgspec

from llm_service.canonical.events import Event, Piece, ToolCallDelta
from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects import GEMINI
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, CountsTokens, Embeddings, Embeds, Incoming, ListsModels
from llm_service.providers.http import HttpProvider, failures_told, retry_after
from llm_service.providers.keys import ApiKey, Keys
from shared.events import Usage
from shared.http.calls import HttpTransport

if TYPE_CHECKING:
    from google.genai import Client

LISTING_TIMEOUT = 3.0
"""Seconds."""
ASKING_TIMEOUT = 60_000
"""Milliseconds, as google-genai counts."""
PAGE = 1000
"""Models at once, the most that Gemini gives."""
MOST_PAGES = 20
GENERATES = "generateContent"
EMBEDS = "embedContent"
NAMES = "models/"


class _Model(msgspec.Struct, rename="camel"):
    name: str
    supported_generation_methods: tuple[str, ...] = ()


class _Models(msgspec.Struct, rename="camel"):
    models: tuple[_Model, ...] = ()
    next_page_token: str = ""


class _Counted(msgspec.Struct, rename="camel"):
    total_tokens: int


class GeminiProvider(HttpProvider, ListsModels, CountsTokens, Embeds):
    """Completions, counts and lists by the dialect's own bytes, embeddings by google-genai."""

    dialect = GEMINI
    section = "gemini"

    def __init__(
        self, name: str, *, base_url: str, keys: Keys, models: tuple[str, ...], transport: HttpTransport = "asyncio"
    ) -> None:
        super().__init__(name, base_url=base_url, keys=keys, models=models, transport=transport)
        self._clients: dict[str, Client] = {}

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        return {"x-goog-api-key": key.secret} if key else {}

    def path(self, call: Call) -> str:
        return _path(call.model, "streamGenerateContent?alt=sse" if call.stream else GENERATES)

    async def open(self, call: Call) -> Incoming:
        """Gemini cannot be told to call one tool at a time: of several calls, the client that asked for it gets one."""
        incoming = await super().open(call)
        return _OneCall(incoming) if call.ingress.canonical.parallel_tool_calls is False else incoming

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aio.aclose()
        await super().close()

    async def list_models(self) -> tuple[str, ...]:
        """Those that complete or embed, without their `models/`."""
        key = self.keys.choose()
        found: list[_Model] = []
        query: dict[str, str | int] = {"pageSize": PAGE}
        for _ in range(MOST_PAGES):
            page = await self.ask("models", key=key, timeout=LISTING_TIMEOUT, kind=_Models, query=query)
            found += page.models
            if not page.next_page_token:
                break
            query["pageToken"] = page.next_page_token
        able = [model for model in found if {GENERATES, EMBEDS} & set(model.supported_generation_methods)]
        return tuple(model.name.removeprefix(NAMES) for model in able)

    async def count_tokens(self, request: CompletionRequest, *, key: ApiKey | None) -> int:
        """By HTTP: google-genai refuses to count system prompts and tools, which the API does count."""
        body = GEMINI.render_request(request, stream=False, losses=Losses(allowed=True))
        asked = {"generateContentRequest": {"model": NAMES + request.model, **body}}
        counted = await self.ask(
            _path(request.model, "countTokens"),
            key=key,
            timeout=ASKING_TIMEOUT / 1000,
            kind=_Counted,
            question=msgspec.json.encode(asked),
        )
        return counted.total_tokens

    async def embed(
        self,
        inputs: Sequence[str] | Sequence[Sequence[int]],
        *,
        model: str,
        key: ApiKey | None,
        dimensions: int | None,
        extra: dict[str, Any],
    ) -> Embeddings:
        """`extra` may hold `task_type` and `title`. The API tells no usage of embeddings for most models: that is then
        0, and marked as estimated."""
        texts = [text for text in inputs if isinstance(text, str)]
        if len(texts) != len(inputs):
            raise ProviderError(Kind.BAD_REQUEST, "Gemini embeds texts, not token ids.", param="input")
        if unknown := extra.keys() - {"task_type", "title"}:
            raise ProviderError(Kind.BAD_REQUEST, "Gemini does not know this field.", param=min(unknown))
        config = {**extra, "http_options": {"timeout": ASKING_TIMEOUT}}
        if dimensions is not None:
            config["output_dimensionality"] = dimensions
        client = await self._client(key)
        with self._told():
            answer = await client.aio.models.embed_content(
                model=model,
                contents=[{"parts": [{"text": text}]} for text in texts],  # of plain texts it would make one content
                config=config,  # type: ignore[arg-type] # a TypedDict, filled in steps
            )
        vectors = tuple(tuple(one.values or ()) for one in answer.embeddings or ())
        if len(vectors) != len(texts) or not all(vectors):
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent {len(vectors)} vectors for {len(texts)} texts.")
        counted = answer.usage_metadata.prompt_token_count if answer.usage_metadata else None
        return Embeddings(vectors=vectors, usage=Usage(input_tokens=counted or 0, estimated=counted is None))

    async def _client(self, key: ApiKey | None) -> Client:
        """One for each key. The import takes a second or two: it is not made before it is needed, and not by the thread
        that serves everybody."""
        genai = await asyncio.to_thread(importlib.import_module, "google.genai")
        name = key.name if key else ""
        if name not in self._clients:
            self._clients[name] = genai.Client(
                vertexai=False,
                api_key=key.secret if key else "none",
                http_options={"base_url": self.base_url, "api_version": ""},
            )
        return self._clients[name]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns google-genai's failures into ProviderError."""
        from google.genai.errors import APIError

        try:
            with failures_told(self.name):
                yield
        except APIError as error:
            refusal = GEMINI.parse_error(error.code, msgspec.json.encode(error.details))
            headers = getattr(error.response, "headers", None)  # of which library's making depends on the transport
            refusal.retry_after = refusal.retry_after or retry_after(httpx2.Headers(dict(headers or {})))
            raise refusal from error
        except ValueError as error:  # it reads answers without a thought that they may be none
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent something that is no answer.") from error


class _OneCall(Incoming):
    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    async def next(self) -> Piece | None:
        piece = await self._incoming.next()
        if piece is None:
            return None
        return Piece(piece.raw, tuple(event for event in piece.events if not _is_of_another_call(event)))

    async def close(self) -> None:
        await self._incoming.close()


def _is_of_another_call(event: Event) -> bool:
    return isinstance(event, ToolCallDelta) and event.index > 0


def _path(model: str, verb: str) -> str:
    """The model's name is one step of it, whatever is in the name: a client may have chosen it."""
    return f"{NAMES}{quote(model.removeprefix(NAMES), safe='')}:{verb}"
