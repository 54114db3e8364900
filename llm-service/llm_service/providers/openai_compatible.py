"""Any server that speaks OpenAI's Chat Completions: Ollama, vLLM, LM Studio, llama.cpp and many hosted ones."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from llm_service.dialects import OPENAI
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, Embeddings, Embeds, ListsModels
from llm_service.providers.http import HttpProvider, failures_told, retry_after
from llm_service.providers.keys import ApiKey
from shared.events import Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

LISTING_TIMEOUT = 5.0
EMBEDDING_TIMEOUT = 60.0
"""Seconds."""


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model] | None
    """None is how Ollama says that it has none."""


class OpenAICompatibleProvider(HttpProvider, ListsModels, Embeds):
    """Speaks the `openai` dialect; a key is optional, as on most local servers."""

    dialect = OPENAI
    _client: "AsyncOpenAI | None" = None

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        return {"authorization": f"Bearer {key.secret}"} if key else {}

    def path(self, call: Call) -> str:  # noqa: ARG002 # others have the model in it
        return "chat/completions"

    def request_body(self, call: Call) -> Body:
        """Older servers know `max_tokens` only, so what we say ourselves is said in both words' common one."""
        body = super().request_body(call)
        ours = call.ingress.dialect is not OPENAI or call.ingress.limited
        if ours and "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        return body

    async def list_models(self) -> tuple[str, ...]:
        listed = await self.ask("models", key=self.keys.choose(), timeout=LISTING_TIMEOUT, kind=_Models)
        return tuple(model.id for model in listed.data or ())

    async def embed(
        self,
        inputs: Sequence[str] | Sequence[Sequence[int]],
        *,
        model: str,
        key: ApiKey | None,
        dimensions: int | None,
        extra: dict[str, Any],
    ) -> Embeddings:
        async with self._sdk(key) as sdk:
            found = await sdk.embeddings.create(
                input=list(inputs),  # type: ignore[arg-type] # texts or tokens: it takes both
                model=model,
                encoding_format="float",
                extra_body={**extra, **({} if dimensions is None else {"dimensions": dimensions})},
                timeout=EMBEDDING_TIMEOUT,
            )
            vectors = tuple(tuple(one.embedding) for one in sorted(found.data, key=lambda one: one.index))
            return Embeddings(vectors=vectors, usage=Usage(input_tokens=found.usage.prompt_tokens))

    @asynccontextmanager
    async def _sdk(self, key: ApiKey | None) -> AsyncGenerator["AsyncOpenAI"]:
        """OpenAI's client, on our connections; what it raises becomes ProviderError."""
        openai = await asyncio.to_thread(importlib.import_module, "openai")  # half a second, the first time
        if self._client is None:
            self._client = openai.AsyncOpenAI(
                base_url=self.base_url, api_key="none", http_client=self._http, max_retries=0
            )
        try:
            with failures_told(self.name):
                yield self._client.with_options(api_key=key.secret) if key else self._client
        except openai.APIStatusError as error:
            refusal = self.dialect.parse_error(error.status_code, error.response.content)
            refusal.retry_after = retry_after(error.response.headers)
            raise refusal from error
        except openai.APITimeoutError as error:
            raise ProviderError(Kind.TIMEOUT, f"{self.name} took too long.") from error
        except openai.APIConnectionError as error:
            raise ProviderError(Kind.UNREACHABLE, f"{self.name} cannot be reached.") from error
        except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent something that is no answer.") from error
