"""Asks a model, as any request does, to summarize what a conversation leaves out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog
from opentelemetry.context import Context

from llm_service.canonical.answer import Answer
from llm_service.canonical.request import Message
from llm_service.catalogue.service import Catalogue
from llm_service.context.transcript import summary_request
from llm_service.dialects import OPENAI
from llm_service.dialects.ingress import Ingress
from llm_service.errors import ProviderError
from llm_service.routing.attempts import Attempt
from llm_service.routing.engine import AllFailed, Engine
from llm_service.routing.observed import Observed
from llm_service.routing.plan import plan
from llm_service.routing.timers import Deadline
from shared.auth.policy import UNLIMITED
from shared.errors import DomainError

log = structlog.get_logger(__name__)

LONGEST, SHARE = 60.0, 0.5
"""Seconds, and of the time that the request has left: a conversation without a summary is better than no answer."""
ROOM = 100_000
"""Tokens that are shown at most, where the model's window is not known, or larger."""
WINDOW_SHARE = 0.7
"""Of the window; the rest is for instructions, the summary, and the error of the estimate."""
EVERY_MODEL = UNLIMITED
"""The operator says who summarizes; what it costs is the caller's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """One request's. Its attempts stand in `attempts` before the one for which the summary is made."""

    engine: Engine
    catalogue: Catalogue
    observed: Observed
    attempts: list[Attempt]
    model: str
    deadline: Deadline
    trace: Context | None = None

    async def summarize(self, messages: Sequence[Message], most_tokens: int) -> str | None:
        """None where it fails, whatever the reason: then what is left out is left out."""
        attempts: list[Attempt] = []
        try:
            async with asyncio.timeout(min(LONGEST, self.deadline.remaining * SHARE)):
                return await self._ask(messages, most_tokens, attempts)
        except (DomainError, ProviderError, AllFailed, TimeoutError) as error:
            log.warning("no summary", model=self.model, error=repr(error))
            return None
        finally:
            for attempt in attempts:
                attempt.purpose = "summary"
            self.attempts[-1:-1] = attempts

    async def _ask(self, messages: Sequence[Message], most_tokens: int, attempts: list[Attempt]) -> str | None:
        asking = self._request(messages, most_tokens, ROOM)
        planned = await plan(asking, self.catalogue, self.observed, policy=EVERY_MODEL)
        windows = [window for target in planned.targets if (window := target.facts.context_window) is not None]
        asking = self._request(messages, most_tokens, min(ROOM, *(int(one * WINDOW_SHARE) for one in windows)))
        timeouts = self.catalogue.config.timeouts
        run = self.engine.start(asking, planned, attempts, timeouts=timeouts, parent=self.trace)
        answer = Answer()
        try:
            await run.commit()
            while (piece := await run.next()) is not None:
                for event in piece.events:
                    answer.add(event)
        finally:
            await run.close()
        return answer.text.strip() or None

    def _request(self, messages: Sequence[Message], most_tokens: int, room: int) -> Ingress:
        body = summary_request(messages, model=self.model, most_tokens=most_tokens, room=room)
        return Ingress(msgspec.json.encode(body), dialect=OPENAI)
