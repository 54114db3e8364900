"""Counts a request's tokens where it would be answered first, or estimates them."""

from typing import NamedTuple

import msgspec
import structlog

from llm_service.canonical.request import CompletionRequest, Native
from llm_service.catalogue.service import Target
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError, for_client
from llm_service.providers import CountsTokens
from llm_service.reload import LiveCatalogue
from llm_service.routing.observed import Observed
from llm_service.routing.plan import plan
from shared.auth import Policy

log = structlog.get_logger(__name__)

OUR_MISTAKE = frozenset({Kind.BAD_REQUEST, Kind.CONTEXT_OVERFLOW})
"""What the client hears of; any other failure of a counter leaves us to estimate."""


class TokenCount(NamedTuple):
    """Input tokens; `estimated` where no provider counted them."""

    input_tokens: int
    estimated: bool


class TokenCounts:
    """Asks the first target of a request's plan."""

    def __init__(self, live: LiveCatalogue, observed: Observed) -> None:
        self._live = live
        self._observed = observed

    async def count(self, ingress: Ingress, *, policy: Policy) -> TokenCount:
        """Raises ModelNotAllowed, ModelNotFound, Unprocessable, RejectedRequest."""
        with self._live.use() as catalogue:
            planned = await plan(ingress, catalogue, self._observed, policy=policy)
            return await self._count(ingress, planned.targets[0])

    async def _count(self, ingress: Ingress, target: Target) -> TokenCount:
        request = msgspec.structs.replace(_with_betas(ingress), model=target.model)
        if isinstance(target.provider, CountsTokens):
            try:
                key = target.provider.keys.choose(model=target.model)
                counted = await target.provider.count_tokens(request, key=key)
                return TokenCount(counted, estimated=False)
            except ProviderError as error:
                if error.kind in OUR_MISTAKE:
                    raise for_client(error, attempts=[]) from error
                log.warning("provider does not count tokens", target=target.name, error=error.kind)
        return TokenCount(ingress.tokens_for(target.provider.dialect), estimated=True)


def _with_betas(ingress: Ingress) -> CompletionRequest:
    """Features that the client has switched on by header may be in the request, so the counter has to know."""
    request, betas = ingress.canonical, ingress.headers.get("anthropic-beta")
    if not betas:
        return request
    hints = request.hints.value if request.hints else {}
    named = [beta.strip() for beta in betas.split(",")]
    return msgspec.structs.replace(request, hints=Native(dialect=ingress.dialect.name, value={**hints, "betas": named}))
