"""Vectors of one model: those of another mean something else, so only the model's own providers are asked."""

from dataclasses import dataclass, field
from functools import partial

import msgspec

from llm_service.accounting.headers import answer_headers
from llm_service.accounting.service import Accounts
from llm_service.accounting.worst import Asked
from llm_service.canonical.tokens import believable, json_tokens
from llm_service.catalogue.service import Target
from llm_service.embeddings.errors import NoEmbeddings
from llm_service.embeddings.schemas import EmbeddingAnswer, EmbeddingRequest
from llm_service.errors import Kind, ModelNotAllowed, ProviderError
from llm_service.providers import Embeddings, Embeds
from llm_service.providers.keys import ApiKey
from llm_service.reload import LiveCatalogue
from llm_service.routing.attempts import Attempt
from llm_service.routing.engine import AllFailed, Engine
from llm_service.routing.observed import Observed
from llm_service.routing.plan import Plan
from llm_service.routing.refusals import refusal
from shared.auth import Principal


@dataclass(slots=True)
class Embedded:
    """An answer, with the headers that tell of its making."""

    answer: EmbeddingAnswer
    headers: dict[str, str] = field(default_factory=dict)


class EmbeddingService:
    """Falls back between providers and keys, never between models."""

    def __init__(self, live: LiveCatalogue, observed: Observed, accounts: Accounts) -> None:
        self._live = live
        self._accounts = accounts
        self._engine = Engine(observed)

    async def embed(self, asked: EmbeddingRequest, *, principal: Principal, request_id: str) -> Embedded:
        """Raises ModelNotAllowed, ModelNotFound, NoEmbeddings, and what completions raise of limits and providers."""
        if not principal.policy.allows(asked.model):
            raise ModelNotAllowed(asked.model)
        attempts: list[Attempt] = []
        with self._live.use() as catalogue:
            resolved = await catalogue.resolve(asked.model)
            targets = [option.target for step in resolved.steps for option in step]
            able = tuple(one for one in targets if isinstance(one.provider, Embeds) and one.model == targets[0].model)
            if not able:
                raise NoEmbeddings(asked.model)
            paid = Asked(
                principal=principal,
                request_id=request_id,
                model=asked.model,
                stream=False,
                body=lambda: {"input": asked.inputs},
                count=lambda _: json_tokens(asked.inputs),
                says=False,
            )
            async with await self._accounts.open(paid, able, attempts) as account:
                try:
                    ask, timeouts = partial(_ask, asked), catalogue.config.timeouts
                    found = await self._engine.once(Plan(able), attempts, ask, timeouts=timeouts)
                except AllFailed as failure:
                    raise refusal(attempts, catalogue, model=asked.model) from failure
                attempts[-1].usage = found.usage
        answer = EmbeddingAnswer.of(found, model=attempts[-1].target.model, encoding=asked.encoding_format)
        return Embedded(answer, answer_headers(account, attempts[-1]))


async def _ask(asked: EmbeddingRequest, target: Target, key: ApiKey | None) -> Embeddings:
    assert isinstance(target.provider, Embeds)
    extra = dict(asked.model_extra or {})
    if asked.user is not None:
        extra["user"] = asked.user
    inputs = asked.inputs
    found = await target.provider.embed(inputs, model=target.model, key=key, dimensions=asked.dimensions, extra=extra)
    if len(found.vectors) != len(inputs):
        raise ProviderError(Kind.INVALID_ANSWER, f"{target.provider.name} gave another number of vectors than asked.")
    try:
        msgspec.convert(found.vectors, tuple[tuple[float, ...], ...])
    except msgspec.ValidationError:
        raise ProviderError(Kind.INVALID_ANSWER, f"{target.provider.name} gave vectors that are none.") from None
    if not believable(found.usage):
        raise ProviderError(Kind.INVALID_ANSWER, f"{target.provider.name} counted tokens as nobody can.")
    return found
