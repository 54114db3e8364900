"""Anthropic (https://platform.claude.com/docs/en/api/overview)."""

import asyncio
import importlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from llm_service.canonical.losses import Losses
from llm_service.canonical.request import CompletionRequest
from llm_service.dialects import ANTHROPIC
from llm_service.dialects.base import Body
from llm_service.errors import Kind, ProviderError
from llm_service.providers.base import Call, CountsTokens, ListsModels
from llm_service.providers.http import HttpProvider, retry_after
from llm_service.providers.keys import ApiKey, Keys
from shared.http.calls import HttpTransport

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

T = TypeVar("T")

VERSION = "2023-06-01"
SDK_TIMEOUT = 10.0
"""Seconds for a list of models or a count of tokens."""
PAGE = 1000
"""Models at once, the most that Anthropic gives."""
MOST_PAGES = 20
BUDGETED = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(-[015])?(-\d{8}|@\d{8}|$))")
"""Models that think within a budget of tokens only: those before Claude 4.6 know neither `adaptive` nor most efforts
(https://platform.claude.com/docs/en/build-with-claude/adaptive-thinking)."""
BUDGETS = {"low": 1024, "medium": 8192, "high": 24576}
LARGEST_BUDGET = 32768
SMALLEST_BUDGET = 1024
ONE_SYSTEM = re.compile(r"claude-(3|(opus|sonnet|haiku)-4(?!-8))")
"""Models before Opus 4.8, which take no system message later than the first turn."""
NOT_COUNTED = frozenset(
    {"max_tokens", "stream", "temperature", "top_p", "top_k", "stop_sequences", "metadata", "service_tier"}
    | {"container", "diagnostics", "fallbacks", "inference_geo"}
)
"""Fields of a request that the counter of tokens does not take."""


class _Model(msgspec.Struct):
    id: str
    max_tokens: int | None = None


class _Models(msgspec.Struct):
    data: list[_Model]
    has_more: bool = False
    last_id: str | None = None


class AnthropicProvider(HttpProvider, ListsModels, CountsTokens):
    """`base_url` has no `/v1`, as Anthropic's own SDKs have it.

    Where a client sets no limit, an answer may be as long as the model's answers get, by Anthropic's list and by ours.
    """

    dialect = ANTHROPIC
    section = "anthropic"

    def __init__(
        self, name: str, *, base_url: str, keys: Keys, models: tuple[str, ...], transport: HttpTransport = "asyncio"
    ) -> None:
        super().__init__(
            name, base_url=base_url.rstrip("/").removesuffix("/v1"), keys=keys, models=models, transport=transport
        )
        self._most_tokens: dict[str, int] = {}

    def headers(self, key: ApiKey | None) -> dict[str, str]:
        return {"anthropic-version": VERSION, **({"x-api-key": key.secret} if key else {})}

    def path(self, call: Call) -> str:  # noqa: ARG002 # others have the model in it
        return "v1/messages"

    def request_body(self, call: Call) -> Body:
        body = super().request_body(call)
        return body if call.ingress.dialect is ANTHROPIC else self._translated(body, call)

    def _translated(self, body: Body, call: Call) -> Body:
        """What the dialect says of every model, as this one takes it."""
        model = call.model
        asked = call.ingress.canonical.max_output_tokens
        if asked is None or call.ingress.limited:  # what is known of the model is what limits reserve for
            bounds = (asked, self._most_tokens.get(model), call.max_output_tokens)
            body["max_tokens"] = min((most for most in bounds if most), default=body["max_tokens"])
        if BUDGETED.match(model):
            body = _budgeted(body)
        return _with_one_system(body) if ONE_SYSTEM.match(model) else body

    async def list_models(self) -> tuple[str, ...]:
        found = await self._by_a_key(self._all_models, key=None)
        self._most_tokens = {model.id: model.max_tokens for model in found if model.max_tokens}
        return tuple(model.id for model in found)

    async def _all_models(self, key: ApiKey | None) -> list[_Model]:
        found: list[_Model] = []
        query: dict[str, str | int] = {"limit": PAGE}
        for _ in range(MOST_PAGES):
            page = await self.ask("v1/models", key=key, timeout=SDK_TIMEOUT, kind=_Models, query=query)
            found += page.data
            if not page.has_more or page.last_id is None:
                break
            query["after_id"] = page.last_id
        return found

    async def count_tokens(self, request: CompletionRequest, *, key: ApiKey | None) -> int:
        body = ANTHROPIC.render_request(request, stream=False, losses=Losses(allowed=True))
        body = {name: value for name, value in body.items() if name not in NOT_COUNTED}
        betas = body.pop("betas", [])

        async def counted(key: ApiKey | None) -> int:
            named: dict[str, Any] = {"model": body["model"], "messages": body["messages"]}
            more = {name: value for name, value in body.items() if name not in named}
            headers = {"anthropic-beta": ",".join(betas)} if betas else {}
            async with self._client(key) as client:
                told = await client.messages.count_tokens(**named, extra_body=more, extra_headers=headers)
                return told.input_tokens

        return await self._by_a_key(counted, key=key)

    async def _by_a_key(self, ask: Callable[[ApiKey | None], Awaitable[T]], *, key: ApiKey | None) -> T:
        """By that key, or by each in turn until one is accepted. Raises ProviderError."""
        tried: list[ApiKey] = []
        while True:
            chosen = key or self.keys.choose(tried=tried)
            try:
                return await ask(chosen)
            except ProviderError as error:
                tried += [chosen] if chosen else []
                if key or error.kind is not Kind.CREDENTIALS or self.keys.choose(tried=tried) is None:
                    raise

    @asynccontextmanager
    async def _client(self, key: ApiKey | None) -> AsyncIterator["AsyncAnthropic"]:
        """Anthropic's SDK on our connections; what it raises is told as ours."""
        anthropic = await asyncio.to_thread(importlib.import_module, "anthropic")  # a second, the first time
        client = anthropic.AsyncAnthropic(
            api_key=key.secret if key else "",
            base_url=self.base_url,
            max_retries=0,
            timeout=SDK_TIMEOUT,
            http_client=self._http,
        )
        try:
            yield client
        except anthropic.APIStatusError as error:
            refusal = ANTHROPIC.parse_error(error.status_code, error.response.content)
            refusal.retry_after = retry_after(error.response.headers)
            raise refusal from error
        except anthropic.APITimeoutError as error:
            raise ProviderError(Kind.TIMEOUT, f"{self.name} took too long.") from error
        except anthropic.APIConnectionError as error:
            raise ProviderError(Kind.UNREACHABLE, f"{self.name} cannot be reached.") from error
        except (anthropic.APIError, ValueError, TypeError, AttributeError) as error:
            raise ProviderError(Kind.INVALID_ANSWER, f"{self.name} sent something that is no answer.") from error


def _budgeted(body: Body) -> Body:
    """Thinking that is left to the model, or asked for by effort, as a budget below `max_tokens`."""
    thinking = body.get("thinking") or {}
    config = dict(body.get("output_config") or {})
    effort = config.pop("effort", None)
    rest = {name: value for name, value in body.items() if name not in ("thinking", "output_config")}
    if config:
        rest["output_config"] = config
    if thinking.get("type") != "adaptive":
        return {**rest, **({"thinking": thinking} if thinking else {})}
    budget = min(BUDGETS.get(str(effort or "medium"), LARGEST_BUDGET), max(SMALLEST_BUDGET, body["max_tokens"] // 2))
    if budget >= body["max_tokens"]:  # an answer as short as that has no room for a thought
        return rest
    return {**rest, "thinking": {**thinking, "type": "enabled", "budget_tokens": budget}}


def _with_one_system(body: Body) -> Body:
    """System messages of later turns, moved to the system prompt."""
    late = [turn["content"] for turn in body["messages"] if turn["role"] == "system"]
    if not late:
        return body
    blocks = [block for content in [body.get("system") or [], *late] for block in _blocks(content)]
    return {**body, "system": blocks, "messages": [turn for turn in body["messages"] if turn["role"] != "system"]}


def _blocks(content: str | list[Body]) -> list[Body]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content
