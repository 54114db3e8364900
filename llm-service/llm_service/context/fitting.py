"""A request made to fit into each target's context window, by the strategy that was asked for."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from llm_service.canonical.request import Message
from llm_service.catalogue.service import Target
from llm_service.config import ContextConfig
from llm_service.context.outline import Unit, droppable
from llm_service.dialects.ingress import Ingress
from llm_service.errors import Kind, ProviderError
from shared.errors import Unprocessable

ANSWER_ROOM = 4096
"""Tokens that are kept free for an answer of which the request does not say how long it may be."""
LARGEST_ANSWER_SHARE = 4
"""One part in so many of the window is the most that is kept free for such an answer."""
ERROR = 0.15
"""By how much an estimate may be wrong: what is cut is cut so much shorter, and what is refused is so much too long."""
TIGHTER = 0.7
"""Of the size that the provider called too large: what is tried next."""
SUMMARY_TOKENS = 1024
LARGEST_SUMMARY_SHARE = 4
"""One part in so many of the room is the most that a summary may take."""

Summarize = Callable[[Sequence[Message], int], Awaitable[str | None]]
"""Says in so many tokens what some messages said; None where nobody could."""


def wanted_context(ingress: Ingress, *configured: ContextConfig | None) -> ContextConfig | None:
    """What the request says, and then the first of `configured` that says something; None leaves it to providers."""
    found = next((one for one in configured if one is not None), None)
    asked = ingress.context
    if asked.strategy is None and asked.max_input_tokens is None:
        return found
    found = found or ContextConfig()
    return ContextConfig(
        strategy=asked.strategy or found.strategy,
        max_input_tokens=asked.max_input_tokens or found.max_input_tokens,
        summary_model=found.summary_model,
    )


@dataclass(frozen=True, slots=True)
class Fitted:
    """The request as a target is to get it; `note` tells what was left out."""

    ingress: Ingress
    note: str | None = None


@dataclass(slots=True)
class Fitter:
    """One request's. Sizes are estimates of input tokens, as the target's dialect counts."""

    ingress: Ingress
    wanted: ContextConfig
    summarize: Summarize
    _sent: dict[str, int] = field(default_factory=dict)
    _tightened: dict[str, int] = field(default_factory=dict)
    _summaries: dict[tuple[int, ...], str | None] = field(default_factory=dict)

    async def fitted(self, target: Target) -> Fitted:
        """Raises ProviderError (CONTEXT_OVERFLOW, naming sizes) where it does not fit and may not be cut."""
        size, room = self.ingress.tokens_for(target.provider.dialect), self._room(target)
        if room is None or size <= room:
            self._sent[target.name] = size
            return Fitted(self.ingress)
        if self.wanted.strategy == "error":
            raise _too_long(target, size, room)
        try:
            fitted = await self._cut(target, size=size, room=room)
        except Unprocessable:  # only its own dialect can read it: the provider says whether it is too long
            return Fitted(self.ingress)
        self._sent[target.name] = fitted.ingress.tokens_for(target.provider.dialect)
        return fitted

    def tightens(self, target: Target) -> bool:
        """The target has called what it got too large: whether a shorter request is worth another try."""
        if self.wanted.strategy == "error" or target.name in self._tightened or target.name not in self._sent:
            return False
        self._tightened[target.name] = int(self._sent[target.name] * TIGHTER)
        return True

    def _room(self, target: Target) -> int | None:
        """The most input tokens that the estimate may say; None where nobody knows a bound."""
        bounds = [self.wanted.max_input_tokens, self._tightened.get(target.name)]
        if (window := target.facts.context_window) is not None:
            cuts = self.wanted.strategy != "error"
            free = window - self._answer_room(target, window) if cuts else window
            bounds.append(int(free * (1 - ERROR if cuts else 1 + ERROR)))
        known = [bound for bound in bounds if bound is not None]
        return min(known) if known else None

    def _answer_room(self, target: Target, window: int) -> int:
        with suppress(Unprocessable):
            if (asked := self.ingress.canonical.max_output_tokens) is not None:
                return asked
        return min(target.facts.max_output_tokens or ANSWER_ROOM, ANSWER_ROOM, window // LARGEST_ANSWER_SHARE)

    async def _cut(self, target: Target, *, size: int, room: int) -> Fitted:
        if self.wanted.strategy == "summarize":
            most = min(SUMMARY_TOKENS, room // LARGEST_SUMMARY_SHARE)
            dropped = self._dropped(target, size=size, room=room - int(most * _ratio(target)))
            if dropped and (summary := await self._summary(dropped, most)) is not None:
                fitted = self._without(dropped, summary)
                if fitted.ingress.tokens_for(target.provider.dialect) <= room:
                    return fitted
        dropped = self._dropped(target, size=size, room=room)
        if dropped is None:
            raise _too_long(target, size, room, cut=True)
        return self._without(dropped)

    def _dropped(self, target: Target, *, size: int, room: int) -> list[Unit] | None:
        """The units that go; None where all of them would not be enough."""
        dropped: list[Unit] = []
        for unit in droppable(self.ingress, self.wanted.strategy):
            if size <= room:
                break
            dropped.append(unit)
            size -= int(sum(line.tokens for line in unit) * _ratio(target))
        return dropped if size <= room else None

    def _without(self, dropped: list[Unit], summary: str | None = None) -> Fitted:
        """The client's own message objects, untouched, but for those that go."""
        gone = sorted(line.place for unit in dropped for line in unit)
        kept = [message for place, message in enumerate(self.ingress.body["messages"]) if place not in gone]
        if summary is None:
            return Fitted(self.ingress.with_messages(kept), f"truncated; messages={len(gone)}")
        at = sum(place not in gone for place in range(gone[0]))
        kept.insert(at, {"role": "user", "content": SUMMARY.format(count=len(gone), summary=summary)})
        return Fitted(self.ingress.with_messages(kept), f"summarized; messages={len(gone)}")

    async def _summary(self, dropped: list[Unit], most: int) -> str | None:
        """Asked for once, whoever the targets are that get it."""
        lines = sorted((line for unit in dropped for line in unit), key=lambda line: line.place)
        places = tuple(line.place for line in lines)
        if places not in self._summaries:
            self._summaries[places] = await self.summarize([line.meaning for line in lines], most)
        return self._summaries[places]


SUMMARY = "[{count} earlier messages are left out here. What they said, in short:]\n{summary}"


def _ratio(target: Target) -> float:
    return target.provider.dialect.token_ratio if target.provider.dialect else 1.0


def _too_long(target: Target, size: int, room: int, *, cut: bool = False) -> ProviderError:
    window = target.facts.context_window
    of = f" of the {window} of its context window" if window is not None else ""
    why = ", even without all that may be left out" if cut else ""
    told = room if window is None else min(room, window)  # an estimate may be wrong, but no window is that large
    message = f"The request has about {size} tokens; {target.name} has room for {told}{of}{why}."
    return ProviderError(Kind.CONTEXT_OVERFLOW, message, param="messages")
