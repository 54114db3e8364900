"""Mistral (https://docs.mistral.ai/api)."""

import asyncio
import importlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from llm_service.dialects import MISTRAL
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, Embeddings, Embeds, ListsModels
from llm_service.providers.http import HttpProvider, failures_told, retry_after
from llm_service.providers.keys import ApiKey
from shared.events import Usage

if TYPE_CHECKING:
    from mistralai.client import Mistral

LISTING_TIMEOUT = 5.0
"""Seconds."""
EMBEDDING_TIMEOUT_MS = 60_000


class _Model(msgspec.Struct):
    id: str | None = None
    """A card of a kind to come may have none."""


class _Models(msgspec.Struct):
    data: list[_Model] | None


class MistralProvider(HttpProvider, ListsModels, Embeds):
    """Needs a key. `base_url` ends with the version, as OpenAI's does."""

    dialect = MISTRAL
    section = "mistral"

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        return {"authorization": f"Bearer {key.secret}"} if key else {}

    def path(self, call: Call) -> str:  # noqa: ARG002 # others have the model in it
        return "chat/completions"

    async def list_models(self) -> tuple[str, ...]:
        """Aliases are models of their own in its list."""
        listed = await self.ask("models", key=self.keys.choose(), timeout=LISTING_TIMEOUT, kind=_Models)
        return tuple(dict.fromkeys(model.id for model in listed.data or () if model.id))

    async def embed(
        self,
        inputs: Sequence[str] | Sequence[Sequence[int]],
        *,
        model: str,
        key: ApiKey | None,
        dimensions: int | None,
        extra: dict[str, Any],  # noqa: ARG002 # it takes no others
    ) -> Embeddings:
        texts = [one for one in inputs if isinstance(one, str)]
        if len(texts) < len(inputs):
            raise ProviderError(Kind.BAD_REQUEST, "Mistral takes texts, not tokens.", param="input")
        async with self._sdk(key) as sdk:
            found = await sdk.embeddings.create_async(
                model=model, inputs=texts, output_dimension=dimensions, timeout_ms=EMBEDDING_TIMEOUT_MS
            )
            data = sorted(found.data, key=lambda one: one.index or 0)
            vectors = tuple(tuple(one.embedding or ()) for one in data)
            return Embeddings(vectors=vectors, usage=Usage(input_tokens=found.usage.prompt_tokens or 0))

    @asynccontextmanager
    async def _sdk(self, key: ApiKey | None) -> AsyncGenerator["Mistral"]:
        """Mistral's client, on our connections; what it raises becomes ProviderError."""
        sdk = await asyncio.to_thread(importlib.import_module, "mistralai.client")
        errors = await asyncio.to_thread(importlib.import_module, "mistralai.client.errors")
        client = sdk.Mistral(
            api_key=key.secret if key else None,
            server_url=self.base_url.removesuffix("/v1"),
            async_client=self._http,
        )
        try:
            with failures_told(self.name):
                yield client
        except errors.MistralError as error:
            refusal = self.dialect.parse_error(error.status_code, error.body.encode())
            refusal.retry_after = retry_after(error.headers)
            raise refusal from error
        except (ValueError, TypeError, AttributeError) as error:
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent something that is no answer.") from error
